"""The frontier -> the rows that the page shows of it, and a drawing: perplexity ratio by blocks removed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lorp.report.axes import block_runs, ratio_ticks
from lorp.report.svg import drawing, element, line, text
from lorp.report.text import exactly, number, percent, size
from lorp.search.frontier import Frontier, FrontierPoint, Standing

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 740, 20, 250
_SIDES = {"inside": "✓ within", "outside": "✕ over", "open": "not known"}
_NOT_MEASURED = "–"


@dataclass(frozen=True, kw_only=True)
class FrontierRow:
    """One candidate, as text."""

    chosen: bool
    count: int
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FrontierSection:
    """What is shown of the frontier."""

    rows: tuple[FrontierRow, ...]
    plot: Markup
    num_evaluated: int
    in_full: int


def frontier_section(frontier: Frontier | None, budget: float) -> FrontierSection | None:
    """A row a candidate; None where the count was given.

    Args:
        frontier: What was looked at.
        budget: Of the perplexity ratio.
    """
    if frontier is None:
        return None
    return FrontierSection(
        rows=tuple(
            FrontierRow(chosen=point.count == frontier.chosen, count=point.count, cells=_cells(point))
            for point in frontier.points
        ),
        plot=_plot(frontier, budget),
        num_evaluated=frontier.num_evaluated,
        in_full=max(point.count for point in frontier.points) * frontier.num_planned,
    )


def _cells(point: FrontierPoint) -> tuple[str, ...]:
    stood, figures = point.standing, point.figures
    accuracy = figures.get("accuracy")
    speeds = [figures.get(name) for name in ("prefill_speedup", "decode_speedup")]
    return (
        block_runs(point.removed),
        point.healing,
        number(stood.perplexity) if stood else "not finite",
        f"{number(stood.ratio)} ({number(stood.lower)} to {number(stood.upper)})" if stood else _NOT_MEASURED,
        str(stood.num_windows) if stood else _NOT_MEASURED,
        _SIDES[stood.side] if stood else _SIDES["outside"],
        percent(accuracy) if accuracy is not None else _NOT_MEASURED,
        " / ".join(_NOT_MEASURED if speed is None else f"×{number(speed, 3)}" for speed in speeds),
        size(int(figures["weight_bytes"])),
    )


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Where counts and ratios lie."""

    counts: Sequence[int]
    low: float
    high: float

    def x(self, count: int) -> float:
        spacing = (_RIGHT - _LEFT) / (max(self.counts) - min(self.counts) + 1)
        return _LEFT + (count - min(self.counts) + 0.5) * spacing

    def y(self, ratio: float) -> float:
        share = math.log(min(max(ratio, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return _BOTTOM - share * (_BOTTOM - _TOP)


def _plot(frontier: Frontier, budget: float) -> Markup:
    """Ratios with their confidence sequences on a logarithmic axis, the side over the budget shaded."""
    standings = [point.standing for point in frontier.points if point.standing]
    values = [value for stood in standings for value in (stood.lower, stood.upper)]
    ends = (*values, budget, 1.0)
    scale = _Scale(
        counts=[point.count for point in frontier.points],
        low=max(min(ends) / 1.03, 1e-6),
        high=min(max(ends) * 1.03, 1e6),
    )
    points = [
        _interval(point.count, point.standing, scale, chosen=point.count == frontier.chosen)
        for point in frontier.points
        if point.standing
    ]
    name = "Perplexity ratio by number of blocks removed"
    return drawing(_WIDTH, _HEIGHT, name, _budget(budget, scale), _axes(scale), *points, class_="frontier")


def _budget(budget: float, scale: _Scale) -> Markup:
    at = scale.y(budget)
    over = element("rect", x=_LEFT, y=_TOP, width=_RIGHT - _LEFT, height=at - _TOP, class_="over")
    label = text(f"budget {exactly(budget)}", _RIGHT - 4, at + 14, text_anchor="end", class_="budget-label")
    return element("g", over, line((_LEFT, at), (_RIGHT, at), class_="budget"), label)


def _axes(scale: _Scale) -> Markup:
    drawn = [
        line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), class_="rule"),
        line((_LEFT, _TOP), (_LEFT, _BOTTOM), class_="rule"),
        text("blocks removed", (_LEFT + _RIGHT) / 2, _BOTTOM + 38, text_anchor="middle", class_="index"),
    ]
    for tick in ratio_ticks(scale.low, scale.high):
        drawn.append(line((_LEFT - 5, scale.y(tick)), (_LEFT, scale.y(tick)), class_="rule"))
        drawn.append(text(exactly(tick), _LEFT - 9, scale.y(tick), text_anchor="end", class_="index"))
    drawn += [
        text(str(count), scale.x(count), _BOTTOM + 16, text_anchor="middle", class_="index") for count in scale.counts
    ]
    return element("g", *drawn, class_="axis")


def _interval(count: int, stood: Standing, scale: _Scale, *, chosen: bool) -> Markup:
    at, ends = scale.x(count), (scale.y(stood.lower), scale.y(stood.upper))
    caps = [line((at - 7, end), (at + 7, end), class_="reach") for end in ends]
    ring = [element("circle", cx=at, cy=scale.y(stood.ratio), r=12, class_="chosen")] if chosen else []
    dot = element("circle", cx=at, cy=scale.y(stood.ratio), r=6, class_="value")
    return element("g", line((at, ends[0]), (at, ends[1]), class_="reach"), *caps, *ring, dot)
