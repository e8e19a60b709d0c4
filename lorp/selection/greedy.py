"""Greedy by loss (SLEB, arXiv 2402.09025): in each round the block goes whose removal costs least."""

import math
from collections.abc import Iterator
from itertools import islice, takewhile

from lorp.plan import PruningPlan, Removal, plan_of
from lorp.selection.grounds import Grounds, eligible, mean
from lorp.spec import PruningSpec

#: Blocks that are tried in each round but the first where there is a shortlist, and their share of all if that is more.
_SHORTLISTED, _SHARE = 12, 1 / 3


def select(grounds: Grounds, count: int, _spec: PruningSpec) -> PruningPlan:
    """Removes blocks one by one, judged by the loss of what is left as it is; ties to the shallower."""
    return plan_of("greedy", grounds.num_blocks, removals(grounds, count, mended=False))


def removals(grounds: Grounds, count: int, mended: bool, shortlist: bool = False) -> list[Removal]:
    """The first `count` blocks to go, each with the loss that is reached, in nats; arguments as for `rounds`."""
    return list(islice(rounds(grounds, mended, shortlist), count))


def deepest_within(grounds: Grounds, max_ratio: float, max_perplexity: float | None = None) -> int:
    """How many blocks go before perplexity is over a budget; at least 1.

    Args:
        grounds: Whose trials are asked.
        max_ratio: Largest pruned / dense perplexity.
        max_perplexity: Largest perplexity.
    """
    most = mean(grounds.asked().losses((), mended=False)) + math.log(max_ratio)
    if max_perplexity is not None:
        most = min(most, math.log(max_perplexity))
    within = takewhile(lambda step: step.score <= most, rounds(grounds, grounds.mended, shortlist=grounds.mended))
    return max(1, sum(1 for _ in within))


def rounds(grounds: Grounds, mended: bool, shortlist: bool) -> Iterator[Removal]:
    """The blocks in the order in which they go, until none may go any more.

    Args:
        grounds: Whose trials are asked.
        mended: Whether plans are compared as mended.
        shortlist: Whether later rounds try only the blocks that cost least when they were tried last.

    Raises:
        SpecError: There are no trials.
    """
    trials = grounds.asked()
    last = dict.fromkeys(eligible(grounds.num_blocks), 0.0)
    gone: tuple[int, ...] = ()
    while last:
        promising = sorted(last, key=lambda block: (last[block], block))
        if shortlist and gone:
            promising = promising[: max(_SHORTLISTED, math.ceil(_SHARE * grounds.num_blocks))]
        tried = {block: mean(trials.losses((*gone, block), mended)) for block in promising}
        block = min(tried, key=lambda block: (tried[block], block))
        gone = (*gone, block)
        yield Removal(block=block, cluster=None, score=tried[block])
        trials.settle(gone, mended)
        last |= tried
        del last[block]
