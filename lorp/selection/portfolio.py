"""Plans of several selectors, compared by what they cost."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lorp.errors import CountError
from lorp.plan import Proposal, PruningPlan
from lorp.selection.grounds import Grounds, Selector, mean
from lorp.spec import PruningSpec


def best_of(selectors: Sequence[Selector], grounds: Grounds, count: int, spec: PruningSpec) -> PruningPlan:
    """The plan that costs least; with it, what each of them proposed.

    Raises:
        CountError: None of them can remove so many blocks.
        SpecError: There is no model to ask.
    """
    plans = proposals(selectors, grounds, count, spec)
    costs = [cost(grounds, plan) for plan in plans]
    best = min(range(len(plans)), key=lambda index: (costs[index], index))
    return replace(
        plans[best], proposals=listed([proposal(plan, cost) for plan, cost in zip(plans, costs, strict=True)])
    )


def proposals(selectors: Sequence[Selector], grounds: Grounds, count: int, spec: PruningSpec) -> list[PruningPlan]:
    """A plan from each selector that can make one.

    Raises:
        CountError: None can.
    """
    plans: list[PruningPlan] = []
    refusals: list[CountError] = []
    for select in selectors:
        try:
            plans.append(select(grounds, count, spec))
        except CountError as refusal:
            refusals.append(refusal)
    if not plans:
        raise refusals[0]
    return plans


def cost(grounds: Grounds, plan: PruningPlan) -> float:
    """A plan's mean loss on the windows on which plans compete, in nats; infinity where it is not finite."""
    return mean(grounds.asked().losses(plan.removed, grounds.mended))


def proposal(plan: PruningPlan, loss: float, confirmed: float | None = None) -> Proposal:
    """What is noted of a plan that others were compared with."""
    return Proposal(
        method=plan.method,
        removed=plan.removed,
        loss=_finite(loss),
        confirmed_loss=None if confirmed is None else _finite(confirmed),
    )


def listed(compared: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Proposals, cheapest first."""
    return tuple(sorted(compared, key=lambda entry: math.inf if entry.loss is None else entry.loss))


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
