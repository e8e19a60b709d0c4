"""Seeded local search: removed and kept blocks change places for as long as that helps."""

import random
from collections.abc import Iterator, Mapping

from lorp.selection.grounds import Grounds, eligible, mean

Removed = tuple[int, ...]


def refined(grounds: Grounds, start: Removed) -> tuple[Removed, float]:
    """The plan that nothing tried betters, and its mean loss in nats.

    Swaps of one block for another come first, in the order in which their blocks' own costs recommend them, then swaps
    of two, drawn by the seed (the mutations of EvoPress, arXiv 2410.14649). The first that helps is taken, and the
    search goes on from there, until the grounds' number of plans has been tried.

    Args:
        grounds: Whose trials are asked.
        start: Where to begin.

    Raises:
        SpecError: There are no trials.
    """
    trials, draw = grounds.asked(), random.Random(grounds.seed)
    alone = {block: mean(trials.losses((block,), grounds.mended)) for block in eligible(grounds.num_blocks)}
    best, lowest = start, mean(trials.losses(start, grounds.mended))
    tried = {start}
    moves = _moves(best, alone, draw)
    while len(tried) <= grounds.max_swaps:
        plan = next((plan for plan in moves if plan not in tried), None)
        if plan is None:
            break
        if len(tried) == 1:
            trials.settle(best, grounds.mended)
        tried.add(plan)
        loss = mean(trials.losses(plan, grounds.mended))
        if loss < lowest:
            best, lowest = plan, loss
            trials.settle(best, grounds.mended)
            moves = _moves(best, alone, draw)
    return best, lowest


def _moves(removed: Removed, alone: Mapping[int, float], draw: random.Random) -> Iterator[Removed]:
    """Plans near this one, the most promising first.

    Args:
        removed: The plan.
        alone: What each block costs by itself.
        draw: For swaps of two.
    """
    kept = sorted((block for block in alone if block not in removed), key=lambda block: (alone[block], block))
    swaps = [(alone[new] - alone[old], old, new) for old in removed for new in kept]
    for _, old, new in sorted(swaps):
        yield _swapped(removed, {old}, {new})
    likely = kept[: 2 * len(removed)]
    for _ in range(len(swaps) if min(len(removed), len(likely)) > 1 else 0):
        yield _swapped(removed, set(draw.sample(removed, 2)), set(draw.sample(likely, 2)))


def _swapped(removed: Removed, old: set[int], new: set[int]) -> Removed:
    return tuple(sorted((set(removed) - old) | new))
