"""The frontier: how deep the budgets let one cut, found on as few windows as can tell."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from lorp.evaluation.perplexity import WindowLoss, exp, perplexity_of
from lorp.spec import GateSpec
from lorp.statistics import clustered_mean, confidence_sequence

#: Windows before a candidate is first judged, and between judgements.
FIRST_LOOK, NEXT_LOOK = 12, 4

#: Counts above the deepest one within budget that are looked at too: a deeper cut may cost less than one before it.
LOOKAHEAD = 2

Side = Literal["inside", "outside", "open"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a candidate stands after some windows.

    Attributes:
        side: Of the budgets; open for as long as the windows cannot tell.
        num_windows: Windows seen.
        ratio: Pruned / dense perplexity.
        lower: Lower bound of the ratio, at every number of windows at once.
        upper: Upper bound.
        perplexity: Of the candidate on these windows.
    """

    side: Side
    num_windows: int
    ratio: float
    lower: float
    upper: float
    perplexity: float


@dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """One candidate of the frontier.

    Attributes:
        count: Blocks removed.
        removed: Which.
        healing: How it was healed.
        standing: On the windows of the frontier; None where nothing can be said of it.
        figures: What else was measured, by name.
    """

    count: int
    removed: tuple[int, ...]
    healing: str
    standing: Standing | None
    figures: dict[str, float]

    @property
    def inside(self) -> bool:
        """Whether it keeps the budgets."""
        return self.standing is not None and self.standing.side == "inside"


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """What was looked at, by count, and which was chosen.

    Attributes:
        chosen: The deepest count within the budgets, or the least of those looked at if none is.
        points: By count.
        dense_perplexity: On all windows of the frontier.
        num_planned: Windows that a candidate gets at most.
    """

    chosen: int
    points: tuple[FrontierPoint, ...]
    dense_perplexity: float
    num_planned: int

    @property
    def num_evaluated(self) -> int:
        """Evaluations of a window by a candidate, over all of them."""
        return sum(point.standing.num_windows for point in self.points if point.standing)


def standing(
    dense: Sequence[WindowLoss], pruned: Sequence[WindowLoss], gate: GateSpec, planned: int, gate_windows: int
) -> Standing | None:
    """Where a candidate stands.

    The gate will ask that an upper bound on windows of its own keep the budget. So the mean has to keep what is left
    of the budget once that bound's reach is taken off, and a candidate is inside, or outside, once its confidence
    sequence lies on one side of that. Where all windows have not told, it is inside only if the gate would pass it were
    its mean a standard error worse; and one that is not likely to end there is outside at once, which may cost depth,
    but approves nothing.

    Args:
        dense: Losses of the dense model.
        pruned: Losses of the candidate on the same windows, in the same order.
        gate: Whose budgets of perplexity are asked about.
        planned: Windows that a candidate gets at most.
        gate_windows: Windows that the gate will have.

    Returns:
        None where nothing can be said: a loss or a bound is not finite, or all windows come from one document.
    """
    of_dense, of_pruned = _losses(dense), _losses(pruned)
    clusters, tokens = [item.document for item in pruned], [item.num_predicted for item in pruned]
    if not (np.isfinite(of_dense).all() and np.isfinite(of_pruned).all()) or len(set(clusters)) < 2:
        return None
    ratios = of_pruned - of_dense
    asked = [(ratios, math.log(gate.max_perplexity_ratio))]
    if gate.max_perplexity is not None:
        asked.append((of_pruned, math.log(gate.max_perplexity)))
    seen = clusters, tokens
    sides = {_side(values, seen, budget, gate.confidence, planned, gate_windows) for values, budget in asked}
    bounds = confidence_sequence(ratios, clusters, gate.confidence, planned, tokens)
    stood = Standing(
        side="outside" if "outside" in sides else "open" if "open" in sides else "inside",
        num_windows=len(pruned),
        ratio=exp(bounds.value),
        lower=exp(bounds.lower),
        upper=exp(bounds.upper),
        perplexity=perplexity_of(pruned),
    )
    return stood if math.isfinite(stood.upper) and math.isfinite(stood.perplexity) else None


def explore(look: Callable[[int], bool], start: int, largest: int) -> int | None:
    """The deepest count within the budgets, found from a first guess.

    Costs need not rise with every block, so counts above the deepest one found are looked at too.

    Args:
        look: Whether a count is within the budgets; asked once a count.
        start: The first guess.
        largest: The largest count that can be asked for.

    Returns:
        None where no count from `start` down is.
    """
    seen: dict[int, bool] = {}

    def inside(count: int) -> bool:
        if count not in seen:
            seen[count] = look(count)
        return seen[count]

    count = start
    while count > 1 and not inside(count):
        count -= 1
    if not inside(count):
        return None
    deepest, above = count, count + 1
    while above <= min(largest, deepest + LOOKAHEAD):
        if inside(above):
            deepest = above
        above += 1
    return deepest


def _side(
    values: np.ndarray,
    seen: tuple[Sequence[str], Sequence[int]],
    budget: float,
    confidence: float,
    planned: int,
    gate_windows: int,
) -> Side:
    clusters, tokens = seen
    bounds, at_once = (
        confidence_sequence(values, clusters, confidence, planned, tokens),
        clustered_mean(values, clusters, confidence, tokens),
    )
    reach = at_once.upper - at_once.value
    asked = budget - reach * math.sqrt(len(values) / gate_windows)
    if bounds.upper <= asked:
        return "inside"
    t = float(stats.t.ppf(confidence, len(set(clusters)) - 1))
    at_the_end = asked - reach / t * math.sqrt(len(values) * (1 / planned + 1 / gate_windows))
    if len(values) >= planned:
        return "inside" if at_once.value <= at_the_end else "outside"
    return "outside" if bounds.lower > asked or at_once.lower > at_the_end else "open"


def _losses(items: Sequence[WindowLoss]) -> np.ndarray:
    return np.array([math.nan if item.loss is None else item.loss for item in items])
