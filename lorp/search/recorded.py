"""Trials that were run, kept with the plan that they led to: whoever has them can plan again without the model."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from lorp.errors import IntegrityError
from lorp.search.trials import Removed


@dataclass(frozen=True, kw_only=True)
class TriedPlan:
    """What one plan cost.

    Attributes:
        removed: Blocks to do without, ascending.
        mended: Whether the MLP before each gap was refitted first.
        losses: A window each, in nats; None where one is not finite.
    """

    removed: Removed
    mended: bool
    losses: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class TriedPlans:
    """All trials that a search asked for.

    Attributes:
        mended: Whether the search compared plans as mended.
        score: On the windows on which plans compete.
        confirm: On those on which the best are compared once more.
    """

    mended: bool
    score: tuple[TriedPlan, ...]
    confirm: tuple[TriedPlan, ...]


class RecordedTrials:
    """`Trials` that only know what was tried."""

    def __init__(self, tried: Collection[TriedPlan]) -> None:
        self._losses = {
            (plan.removed, plan.mended): tuple(math.inf if loss is None else loss for loss in plan.losses)
            for plan in tried
        }

    def losses(self, removed: Collection[int], mended: bool) -> tuple[float, ...]:
        """Loss a window, in nats.

        Raises:
            IntegrityError: This plan was not tried.
        """
        plan = tuple(sorted(removed))
        if (plan, mended) not in self._losses:
            raise IntegrityError(f"no trial without the blocks {list(plan)} is recorded", "Search again")
        return self._losses[plan, mended]

    def of_count(self, count: int, mended: bool) -> dict[Removed, tuple[float, ...]]:
        """Losses of all plans of so many blocks that were tried."""
        return {
            plan: losses
            for (plan, as_mended), losses in self._losses.items()
            if (len(plan), as_mended) == (count, mended)
        }

    def settle(self, removed: Collection[int], mended: bool) -> None:
        """Nothing is made ready."""
