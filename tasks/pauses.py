"""Pauses between attempts."""

import random
from collections.abc import Iterator


def pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds, without end: doubling, with jitter, so that many do not come back at once.

    Args:
        first: The first is this long at most, in seconds.
        longest: All are.
    """
    most = first
    while True:
        yield random.uniform(most / 2, most)
        most = min(most * 2, longest)
