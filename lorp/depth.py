"""How many blocks may go."""

import math
from typing import Literal

from lorp.errors import CountError


def check_count(remove: float | Literal["auto"], num_blocks: int) -> None:
    """Refuses what `resolve_count` refuses, and a model that has no block to spare.

    Raises:
        CountError: So many blocks cannot be removed.
    """
    resolve_count(1 if remove == "auto" else remove, num_blocks)


def resolve_count(remove: float, num_blocks: int) -> int:
    """Number of blocks that `remove` means for a model of `num_blocks`.

    A share of depth (float) is rounded to the nearest whole number of blocks, at least 1. The first and the last
    block always stay, so the largest count is `num_blocks - 2`.

    Raises:
        CountError: Zero, negative, not a share, or too many.
    """
    largest = num_blocks - 2
    remedy = f"Remove 1 to {largest} blocks, or a share of depth such as 0.1"
    if largest < 1:
        raise CountError(f"a model of {num_blocks} blocks has none to spare", "Choose a deeper one")
    if isinstance(remove, float):
        if not 0 < remove < 1:
            raise CountError(f"{remove:g} is no share of depth", f"{remedy}; a whole number of blocks has no point")
        remove = max(1, math.floor(remove * num_blocks + 0.5))
    if not 1 <= remove <= largest:
        raise CountError(f"{remove} of {num_blocks} blocks cannot be removed: the first and the last stay", remedy)
    return remove
