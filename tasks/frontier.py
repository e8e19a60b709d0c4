"""Candidates of the frontier: looked at on more and more windows, and drawn once it is known how deep to cut."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from lorp.corpus.uses import FrontierWindows, MixtureWindows
from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.evaluation.perplexity import WindowLoss, perplexity_of
from lorp.evaluation.speed import SpeedComparison
from lorp.healing.patch import Patch
from lorp.models import device_kind
from lorp.plan import PruningPlan
from lorp.search.frontier import Frontier, FrontierPoint, Standing, standing
from lorp.spec import ComputeSpec, GateSpec
from lorp.values import decode, encode
from tasks.losses import measured_losses
from tasks.models import shared_model
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True)
class Losses:
    """Losses of one model on some windows."""

    losses: tuple[WindowLoss, ...]


@dataclass(frozen=True, kw_only=True)
class Look(Request):
    """Perplexity of a dense model or candidate on some windows on which candidates compete.

    Attributes:
        checkpoint: What is looked at.
        use: Whose windows.
        windows: All of that use.
        first: The first of them.
        size: How many.
        compute_spec: Where and how the model runs.
    """

    STAGE: ClassVar[str] = "look"
    VERSION: ClassVar[int] = 1
    checkpoint: Reference
    use: Literal["frontier", "mixture"] = "frontier"
    windows: Reference
    first: int
    size: int
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint and windows, which of them, dtype and kind of device."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "windows": self.windows.sha256,
            "first": self.first,
            "size": self.size,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Runs the model over the windows."""
        stored = vault.read(self.windows)
        dealt = decode(FrontierWindows, stored) if self.use == "frontier" else decode(MixtureWindows, stored)
        windows = dealt.windows[self.first : self.first + self.size]
        folder = vault.folder(self.checkpoint)
        with shared_model(folder, self.compute_spec) as model:
            losses = measured_losses(model, folder, self.compute_spec, windows, scratch)
        return {"losses": vault.put("values", encode(Losses(losses)), ".json")}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A plan as it would ship.

    Attributes:
        plan: Which blocks are removed.
        stability: How sure that is.
        patch: How it was healed, if it was.
        weights: New weights, if there are any.
        variant: The pruned checkpoint.
    """

    plan: Reference
    stability: Reference
    patch: Reference | None
    weights: Reference | None
    variant: Reference


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """A candidate, and all that was found out about it.

    Attributes:
        candidate: The candidate.
        looks: Its losses on the first windows of the frontier, part by part.
        tasks: Its answers, if there are any.
        speed: Its speed, if it was timed.
        variant_bytes: Bytes of its weights.
    """

    candidate: Candidate
    looks: tuple[Reference, ...]
    tasks: Reference | None
    speed: Reference | None
    variant_bytes: int


@dataclass(frozen=True, kw_only=True)
class DrawFrontier(Request):
    """What was looked at, as one value."""

    STAGE: ClassVar[str] = "frontier"
    VERSION: ClassVar[int] = 2
    dense: Reference
    looked_at: tuple[LookedAt, ...]
    chosen: int
    num_planned: int
    gate_windows: int
    gate: GateSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of all that was found out, the choice, and the budgets."""
        return {
            "dense": self.dense.sha256,
            "points": [
                {
                    "plan": point.candidate.plan.sha256,
                    "patch": point.candidate.patch.sha256 if point.candidate.patch else None,
                    "looks": [look.sha256 for look in point.looks],
                    "tasks": point.tasks.sha256 if point.tasks else None,
                    "speed": point.speed.sha256 if point.speed else None,
                }
                for point in self.looked_at
            ],
            "chosen": self.chosen,
            "num_planned": self.num_planned,
            "gate_windows": self.gate_windows,
            "gate": self.gate.budgets(),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Gathers."""
        points = [self._point(vault, looked_at) for looked_at in self.looked_at]
        dense = [item for item in decode(Losses, vault.read(self.dense)).losses if item.loss is not None]
        frontier = Frontier(
            chosen=self.chosen,
            points=tuple(sorted(points, key=lambda point: point.count)),
            dense_perplexity=perplexity_of(dense),
            num_planned=self.num_planned,
        )
        return {"frontier": vault.put("values", encode(frontier), ".json")}

    def _point(self, vault: Vault, looked_at: LookedAt) -> FrontierPoint:
        candidate = looked_at.candidate
        plan = decode(PruningPlan, vault.read(candidate.plan))
        figures: dict[str, float] = {"weight_bytes": looked_at.variant_bytes}
        if looked_at.tasks:
            figures["accuracy"] = decode(DownstreamEvaluation, vault.read(looked_at.tasks)).figures["accuracy"]
        if looked_at.speed:
            figures |= decode(SpeedComparison, vault.read(looked_at.speed)).figures
        return FrontierPoint(
            count=len(plan.removed),
            removed=plan.removed,
            healing=decode(Patch, vault.read(candidate.patch)).method if candidate.patch else "none",
            standing=stand(vault, self.dense, looked_at.looks, self.gate, self.num_planned, self.gate_windows),
            figures={name: value for name, value in figures.items() if math.isfinite(value)},
        )


def stand(
    vault: Vault, dense: Reference, looks: Sequence[Reference], gate: GateSpec, planned: int, gate_windows: int
) -> Standing | None:
    """Where a candidate stands after these looks, as `lorp.search.frontier.standing` says.

    Args:
        vault: Where they lie.
        dense: The dense model's losses on all windows of the frontier.
        looks: The candidate's on the first of them, part by part.
        gate: Whose budgets are asked about.
        planned: Windows that a candidate gets at most.
        gate_windows: Windows that the gate will have.
    """
    pruned = [item for look in looks for item in decode(Losses, vault.read(look)).losses]
    beside = decode(Losses, vault.read(dense)).losses[: len(pruned)]
    return standing(beside, pruned, gate, planned, gate_windows)
