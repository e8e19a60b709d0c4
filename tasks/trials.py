"""What plans cost, kept in the store: a search that was killed tries nothing twice."""

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from lorp.search.recorded import TriedPlan
from lorp.search.trials import MEND_RIDGE, Removed, Trials
from lorp.values import decode, encode
from tasks.stage import Outputs, Request, make
from tasks.vault import Vault

LOGGER = logging.getLogger("lorp.search")

_SECONDS_BETWEEN_NEWS = 20.0


@dataclass(frozen=True)
class TrialLosses:
    """Loss a window, in nats; None where it is not finite."""

    losses: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Trial(Request):
    """What one plan costs.

    Attributes:
        known: Digests of checkpoint and windows, and how it is computed.
        removed: The plan.
        mended: Whether it is mended first.
        ask: Finds out.
    """

    STAGE: ClassVar[str] = "trial"
    VERSION: ClassVar[int] = 1
    known: Mapping[str, Any]
    removed: Removed
    mended: bool
    ask: Callable[[], tuple[float, ...]]

    def inputs(self) -> Mapping[str, Any]:
        """What is known, the plan, and how it is mended."""
        mend_ridge = MEND_RIDGE if self.mended else None
        return {**self.known, "removed": list(self.removed), "mend_ridge": mend_ridge}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Asks."""
        return {"losses": vault.put("values", encode(TrialLosses(_storable(self.ask()))), ".json")}


class StoredTrials:
    """Trials whose results are kept in the store, and found there.

    Args:
        vault: Where results are kept.
        known: What determines them beside the plan.
        begin: Makes ready to run plans, once there is one that is not known.
    """

    def __init__(self, vault: Vault, known: Mapping[str, Any], begin: Callable[[], Trials]) -> None:
        self._vault, self._known, self._begin = vault, known, begin
        self._at_hand: dict[tuple[Removed, bool], tuple[float, ...]] = {}
        self._to_settle: tuple[Removed, bool] | None = None
        self._num_run, self._told = 0, time.monotonic()

    def losses(self, removed: Collection[int], mended: bool) -> tuple[float, ...]:
        """Loss a window, in nats, without these blocks; infinity where it is not finite."""
        plan = (tuple(sorted(removed)), mended)
        if plan not in self._at_hand:
            request = Trial(known=self._known, removed=plan[0], mended=mended, ask=lambda: self._run(*plan))
            done = self._vault.result(request.key) or make(self._vault, request)
            stored = decode(TrialLosses, self._vault.read(done.outputs["losses"])).losses
            self._at_hand[plan] = tuple(math.inf if loss is None else loss for loss in stored)
        return self._at_hand[plan]

    def settle(self, removed: Collection[int], mended: bool) -> None:
        """Says that plans asked for from now on will be much like this one."""
        self._to_settle = (tuple(sorted(removed)), mended)

    def tried(self) -> tuple[TriedPlan, ...]:
        """All plans that were asked for, by their blocks."""
        return tuple(
            TriedPlan(removed=removed, mended=mended, losses=_storable(losses))
            for (removed, mended), losses in sorted(self._at_hand.items())
        )

    @cached_property
    def _trials(self) -> Trials:
        return self._begin()

    def _run(self, removed: Removed, mended: bool) -> tuple[float, ...]:
        if self._to_settle:
            self._trials.settle(*self._to_settle)
            self._to_settle = None
        losses = self._trials.losses(removed, mended)
        self._num_run += 1
        if time.monotonic() - self._told > _SECONDS_BETWEEN_NEWS:
            self._told = time.monotonic()
            LOGGER.info("search: %d plans tried, %d blocks removed in the last", self._num_run, len(removed))
        return losses


def _storable(losses: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(loss if math.isfinite(loss) else None for loss in losses)
