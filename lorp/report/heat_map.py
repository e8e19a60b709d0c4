"""Similarity of block inputs, clusters and removed blocks -> one SVG drawing.

Colours of text and marks come from the page's style sheet (`.axis`, `.mark`, `.strike`), so that they follow its theme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from lorp.report.axes import NARROW, AxisLabel, Scale, block_labels, scale_to_one
from lorp.report.colours import VIRIDIS, cluster_swatch, scale_colour
from lorp.report.svg import drawing, element, line, text
from lorp.similarity import Matrix

_SIDE = 600
_CELL_MIN, _CELL_MAX = 5, 64
_TITLE = 22
_MARK = 12
_STRIP = 16
_LEGEND = 112
_STRIP_NUMBER = 12


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Where things lie, in pixels; both axes are the same: title, indices, marks, cluster strip, map."""

    num_blocks: int
    cell: int

    @property
    def narrow(self) -> bool:
        return self.cell < NARROW

    @property
    def strip(self) -> int:
        return _TITLE + (44 if self.narrow else 22) + _MARK

    @property
    def start(self) -> int:
        return self.strip + _STRIP + 3

    @property
    def side(self) -> int:
        return self.num_blocks * self.cell

    @property
    def end(self) -> int:
        return self.start + self.side

    @property
    def middle(self) -> float:
        return self.start + self.side / 2

    def at(self, blocks: float) -> float:
        """The pixel so many blocks from the map's start."""
        return self.start + blocks * self.cell


def heat_map(similarity: Matrix, labels: Sequence[int], removed: Sequence[int], of: str = "") -> Markup:
    """Draws an N x N similarity.

    Args:
        similarity: Mean cosines between block inputs.
        labels: Cluster of each block, drawn as a strip along both axes.
        removed: Blocks marked on both axes and by a line across.
        of: Which tokens, where a page has several drawings.
    """
    num_blocks = len(similarity)
    frame = _Frame(num_blocks=num_blocks, cell=min(max(_SIDE // num_blocks, _CELL_MIN), _CELL_MAX))
    scale = scale_to_one(float(similarity.min()))
    tokens = f", {of} tokens" if of else ""
    name = f"Similarity of the inputs of {num_blocks} blocks{tokens}; removed: {', '.join(map(str, removed))}"
    return drawing(
        frame.end + _LEGEND,
        frame.end + 8,
        name,
        _cells(similarity, scale, frame),
        *(_strike(block, frame) for block in removed),
        *_strips(labels, frame),
        *(_marks(block, frame) for block in removed),
        _axes(block_labels(num_blocks, removed, frame.cell), frame),
        _legend(scale, frame, "-".join(["similarity-scale", *([of] if of else [])])),
        class_="heat-map",
    )


def _cells(similarity: Matrix, scale: Scale, frame: _Frame) -> Markup:
    cells = (
        element(
            "rect",
            element("title", f"blocks {row} and {column}: {value:.3f}"),
            x=column,
            y=row,
            width=1,
            height=1,
            fill=scale_colour(scale.share(float(value))),
        )
        for row, values in enumerate(similarity)
        for column, value in enumerate(values)
    )
    place = f"translate({frame.start} {frame.start}) scale({frame.cell})"
    return element("g", *cells, transform=place, shape_rendering="crispEdges")


def _strike(block: int, frame: _Frame) -> Markup:
    """Lines along a removed block's row and column, light with a dark edge to be seen on every colour."""
    at, first, last = frame.at(block + 0.5), frame.start, frame.end
    thin = min(2, frame.cell / 6)
    lines = [
        drawn
        for kind, width in (("strike-edge", 2 * thin), ("strike", thin))
        for drawn in (
            line((first, at), (last, at), class_=kind, stroke_width=width),
            line((at, first), (at, last), class_=kind, stroke_width=width),
        )
    ]
    return element("g", element("title", f"block {block} is removed"), *lines, data_struck=block)


def _marks(block: int, frame: _Frame) -> Markup:
    """A triangle on each axis that points at a removed block."""
    at, base, tip = frame.at(block + 0.5), frame.strip - 10, frame.strip - 1
    low, high = at - min(5, frame.cell / 2), at + min(5, frame.cell / 2)
    row = element("polygon", points=f"{base},{low:g} {base},{high:g} {tip},{at:g}")
    column = element("polygon", points=f"{low:g},{base} {high:g},{base} {at:g},{tip}")
    return element("g", element("title", f"block {block} is removed"), row, column, class_="mark", data_mark=block)


def _strips(labels: Sequence[int], frame: _Frame) -> list[Markup]:
    """Both strips, a rectangle a run of blocks of one cluster."""
    drawn, first = [], 0
    for cluster, group in groupby(labels):
        last = first + len(list(group)) - 1
        drawn += [_strip_run(cluster, first, last, frame, upright=upright) for upright in (True, False)]
        first = last + 1
    return drawn


def _strip_run(cluster: int, first: int, last: int, frame: _Frame, *, upright: bool) -> Markup:
    along, length = frame.at(first), (last + 1 - first) * frame.cell
    x, y, width, height = (frame.strip, along, _STRIP, length) if upright else (along, frame.strip, length, _STRIP)
    swatch = cluster_swatch(cluster)
    parts = [
        element("title", f"cluster {cluster}: blocks {first} to {last}"),
        element("rect", x=x, y=y, width=width, height=height, fill=swatch.fill, class_="strip"),
    ]
    if length >= _STRIP_NUMBER:
        middle = (x + width / 2, y + height / 2)
        parts.append(text(str(cluster), *middle, text_anchor="middle", fill=swatch.ink, class_="strip-number"))
    return element("g", *parts)


def _axes(labels: Sequence[AxisLabel], frame: _Frame) -> Markup:
    titles = [
        text("block", frame.middle, 11, text_anchor="middle", class_="muted"),
        text("block", 11, frame.middle, text_anchor="middle", transform=_turned(11, frame.middle), class_="muted"),
    ]
    return element("g", *titles, *(_index(label, frame) for label in labels), class_="axis")


def _index(label: AxisLabel, frame: _Frame) -> Markup:
    """One index on both axes; on the upper one it stands upright where cells are narrow."""
    place, edge = frame.at(label.centre), frame.strip - _MARK - 2
    row = text(label.text, edge, place, text_anchor="end")
    if frame.narrow:
        column = text(label.text, place, edge, text_anchor="start", transform=_turned(place, edge))
    else:
        column = text(label.text, place, edge - 6, text_anchor="middle")
    return element("g", row, column, class_="index removed" if label.removed else "index")


def _turned(x: float, y: float) -> str:
    return f"rotate(-90 {x:g} {y:g})"


def _legend(scale: Scale, frame: _Frame, gradient_id: str) -> Markup:
    """The colour scale, with ticks."""
    left, last = frame.end + 26, len(VIRIDIS) - 1
    stops = (
        element("stop", offset=f"{100 * step / last:g}%", stop_color=VIRIDIS[last - step]) for step in range(last + 1)
    )
    gradient = element("defs", element("linearGradient", *stops, id=gradient_id, x1=0, y1=0, x2=0, y2=1))
    bar = element("rect", x=left, y=frame.start, width=16, height=frame.side, fill=f"url(#{gradient_id})")
    ticks = (
        text(f"{tick:z.2f}", left + 24, frame.end - scale.share(tick) * frame.side, class_="index")
        for tick in scale.ticks
    )
    turned = _turned(left + 76, frame.middle)
    title = text("mean cosine", left + 76, frame.middle, text_anchor="middle", transform=turned, class_="muted")
    return element("g", gradient, bar, *ticks, title, class_="axis")
