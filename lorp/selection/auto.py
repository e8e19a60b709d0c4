"""All selectors propose; what they propose is compared by its cost, the best is bettered by local search, confirmed."""

from collections.abc import Sequence
from dataclasses import replace

from lorp.plan import PruningPlan, Removal, plan_of
from lorp.selection import greedy, lorp, shortgpt, streamline
from lorp.selection.grounds import Grounds, Selector, mean
from lorp.selection.local import refined
from lorp.selection.portfolio import cost, listed, proposal, proposals
from lorp.spec import PruningSpec

#: Proposals that are compared once more with the refined plan.
_FINALISTS = 2


def select(grounds: Grounds, count: int, spec: PruningSpec) -> PruningPlan:
    """The plan that holds up on windows on which it was not chosen; with it, what it was compared with.

    Raises:
        CountError: So many blocks cannot be removed.
        SpecError: There is no model to ask.
    """
    plans = proposals(_proposers(grounds), grounds, count, spec)
    compared = sorted(((cost(grounds, plan), plan) for plan in plans), key=lambda pair: pair[0])
    blocks, loss = refined(grounds, compared[0][1].removed)
    compared.insert(0, (loss, _plan(grounds, blocks, loss)))
    losses = {plan.removed: loss for loss, plan in compared}
    confirming = grounds.confirming or grounds.asked()
    confirmed = {
        removed: mean(confirming.losses(removed, grounds.mended)) for removed in list(losses)[: 1 + _FINALISTS]
    }
    best = min(confirmed, key=confirmed.__getitem__)
    noted = [proposal(plan, loss, confirmed.get(plan.removed)) for loss, plan in compared]
    return replace(_plan(grounds, best, losses[best]), proposals=listed(noted))


def _plan(grounds: Grounds, blocks: Sequence[int], loss: float) -> PruningPlan:
    steps = [Removal(block=block, cluster=None, score=loss) for block in blocks]
    return plan_of("auto", grounds.num_blocks, steps)


def mended_greedy(grounds: Grounds, count: int, _spec: PruningSpec) -> PruningPlan:
    """Greedy by the loss of what is left once it is mended."""
    steps = greedy.removals(grounds, count, mended=True, shortlist=True)
    return plan_of("greedy, mended", grounds.num_blocks, steps)


def _proposers(grounds: Grounds) -> list[Selector]:
    """All selectors; of those that remove block by block, the one that compares plans as the search does."""
    return [lorp.select, shortgpt.select, streamline.select, mended_greedy if grounds.mended else greedy.select]
