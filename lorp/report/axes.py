"""Where an axis has ticks and what they say, so that no two labels touch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

#: Below so many pixels a cell has no room for an upright index of two digits.
NARROW = 20
_INDEX_HEIGHT, _INDEX_WIDTH = 13, 23
_TICK_DISTANCE = 25


@dataclass(frozen=True, kw_only=True)
class AxisLabel:
    """A label of an axis of blocks: an index, or the first and last of a run of removed blocks.

    Attributes:
        text: What it says.
        centre: Where, in blocks from the axis's start.
        removed: Whether it names removed blocks.
    """

    text: str
    centre: float
    removed: bool


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A scale that ends at 1.

    Attributes:
        start: Where it starts, a multiple of the step.
        step: Distance of its ticks.
    """

    start: float
    step: float

    @property
    def ticks(self) -> tuple[float, ...]:
        """Ascending, both ends among them."""
        return tuple(self.start + tick * self.step for tick in range(round((1 - self.start) / self.step) + 1))

    def share(self, value: float) -> float:
        """Where a value lies between start (0) and end (1)."""
        return (value - self.start) / (1 - self.start)


def scale_to_one(smallest: float) -> Scale:
    """The scale from the round number at or below `smallest` to 1, with a handful of ticks."""
    step = next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if 1 - smallest <= 6 * step), 0.5)
    steps = max(1, math.ceil((1 - smallest) / step - 1e-9))
    return Scale(start=1 - steps * step, step=step)


def block_labels(num_blocks: int, removed: Sequence[int], cell: float) -> tuple[AxisLabel, ...]:
    """Labels of an axis of blocks: removed ones first, then the last block, then round indices, where there is room.

    Where cells are too small for an index each, a run of removed blocks has one label for all of them.

    Args:
        num_blocks: Blocks on the axis.
        removed: Ascending.
        cell: Pixels a block.
    """
    groups = _runs(removed) if cell < _INDEX_HEIGHT else [[block] for block in removed]
    step = next((step for step in (1, 2, 5) if step * cell >= _TICK_DISTANCE), 10)
    kept = [block for block in (num_blocks - 1, *range(0, num_blocks, step)) if block not in removed]
    wanted = [
        *(_label(group, removed=True) for group in groups),
        *(_label([block], removed=False) for block in kept),
    ]
    chosen: list[AxisLabel] = []
    for label in wanted:
        gap = _INDEX_HEIGHT if label.removed or cell < NARROW else _INDEX_WIDTH
        if all(abs(label.centre - other.centre) * cell >= gap for other in chosen):
            chosen.append(label)
    return tuple(sorted(chosen, key=lambda label: label.centre))


def block_runs(blocks: Sequence[int]) -> str:
    """Ascending blocks for people, neighbours shortened: `6, 12–17`."""
    return ", ".join(_run_text(run) for run in _runs(blocks))


def ratio_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round numbers from `low` to `high` for a logarithmic axis, ascending; both positive."""
    if high / low < 4:
        step = _round_step((high - low) / 5)
        return tuple(round(tick * step, 12) for tick in range(math.ceil(low / step), math.floor(high / step) + 1))
    decades = math.log10(high / low)
    digits = (1, 2, 5) if decades <= 2.5 else (1,)
    every = max(1, math.ceil(decades / 8))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, every)
    return tuple(digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next((digit * power for digit in (1, 2, 5) if digit * power >= step * (1 - 1e-9)), 10 * power)


def _runs(blocks: Sequence[int]) -> list[list[int]]:
    """Ascending blocks, split where they are not neighbours."""
    numbered = groupby(enumerate(blocks), key=lambda pair: pair[1] - pair[0])
    return [[block for _, block in group] for _, group in numbered]


def _label(run: list[int], *, removed: bool) -> AxisLabel:
    return AxisLabel(text=_run_text(run), centre=(run[0] + run[-1] + 1) / 2, removed=removed)


def _run_text(run: list[int]) -> str:
    if len(run) < 3:
        return ", ".join(map(str, run))
    return f"{run[0]}–{run[-1]}"
