"""What rests on what -> a drawing: from what is in use, at the top, down to where everything came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lorp.report.svg import drawing, element, line, text

_WIDTH, _HEIGHT, _GAP, _RISE = 184.0, 46.0, 18.0, 40.0
#: Characters of a detail that fit into a box.
_FITS = 26


@dataclass(frozen=True, kw_only=True)
class Node:
    """Something that was made or taken.

    Attributes:
        id: Its own name in the drawing.
        title: What it is.
        detail: A little more: a number, the beginning of a digest.
        href: Where on the page there is more about it.
        rests_on: Ids of what it was made from.
    """

    id: str
    title: str
    detail: str
    href: str
    rests_on: tuple[str, ...] = ()


def lineage_graph(nodes: Sequence[Node], name: str) -> Markup:
    """A drawing in rows: everything lies below all that rests on it.

    Args:
        nodes: In any order; what they rest on is among them, and nothing rests on itself.
        name: What the drawing is called to who cannot see it.
    """
    by_id = {node.id: node for node in nodes}
    rows = _rows(nodes)
    width = max(len(row) for row in rows) * (_WIDTH + _GAP) + _GAP
    places = {
        node.id: (_left(place, len(row), width), depth * (_HEIGHT + _RISE) + _GAP)
        for depth, row in enumerate(rows)
        for place, node in enumerate(row)
    }
    height = len(rows) * (_HEIGHT + _RISE) - _RISE + 2 * _GAP
    edges = element("g", *_edges(by_id, places), aria_hidden="true")
    boxes = [_box(node, by_id, *places[node.id]) for row in rows for node in row]
    return drawing(width, height, name, edges, *boxes, role="group")


def _rows(nodes: Sequence[Node]) -> list[list[Node]]:
    """Row 0 has what nothing rests on; each other node is a row below the lowest that rests on it."""
    depths = {node.id: 0 for node in nodes}
    for _ in nodes:
        for node in nodes:
            for below in node.rests_on:
                depths[below] = max(depths[below], depths[node.id] + 1)
    return [[node for node in nodes if depths[node.id] == depth] for depth in range(max(depths.values()) + 1)]


def _left(place: int, count: int, width: float) -> float:
    return (width - count * (_WIDTH + _GAP) + _GAP) / 2 + place * (_WIDTH + _GAP)


def _edges(nodes: Mapping[str, Node], places: Mapping[str, tuple[float, float]]) -> list[Markup]:
    """Lines to what a node rests on, but for what follows from other lines."""
    edges = []
    for node in nodes.values():
        left, top = places[node.id]
        for below in node.rests_on:
            if any(below in _all_below(nodes, other) for other in node.rests_on):
                continue
            left_below, top_below = places[below]
            start = (left + _WIDTH / 2, top + _HEIGHT)
            edges.append(line(start, (left_below + _WIDTH / 2, top_below), class_="edge"))
    return edges


def _all_below(nodes: Mapping[str, Node], one: str) -> frozenset[str]:
    below = frozenset(nodes[one].rests_on)
    return below.union(*(_all_below(nodes, each) for each in below))


def _box(node: Node, nodes: Mapping[str, Node], left: float, top: float) -> Markup:
    middle, detail = left + _WIDTH / 2, node.detail
    below = ", ".join(nodes[each].title for each in node.rests_on) or "nothing here"
    shown = detail if len(detail) <= _FITS else f"{detail[: _FITS - 1]}…"
    return element(
        "a",
        element("title", f"{node.title}, {detail}"),
        element("rect", x=left, y=top, width=_WIDTH, height=_HEIGHT, rx=7, class_="node"),
        text(node.title, middle, top + 16, text_anchor="middle", class_="node-title"),
        text(shown, middle, top + 33, text_anchor="middle", class_="node-detail"),
        href=node.href,
        aria_label=f"{node.title}, {detail}; rests on {below}",
    )
