"""A criterion's value, upper bound and budget on one line -> one SVG drawing."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from lorp.axes import ratio_ticks
from lorp.report_text import budget_text, number, number_beside
from lorp.svg import drawing, element, line, text

_WIDTH, _HEIGHT = 760, 118
_LEFT, _RIGHT = 130, 600
_TOP, _ROW, _AXIS = 24, 58, 88


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """What to draw; all numbers are positive and finite.

    Attributes:
        name: What was measured.
        reference: Where the dense model stands.
        value: The estimate.
        bound: Its upper bound.
        budget: What the bound must not exceed.
    """

    name: str
    reference: float
    value: float
    bound: float
    budget: float


def budget_line(shown: BudgetLine) -> Markup:
    """Draws them on a logarithmic axis, with the side over the budget shaded."""
    axis = _axis_of(shown)
    bound = number_beside(shown.bound, shown.budget)
    name = f"{shown.name}: {number(shown.value)}, upper bound {bound}, budget {budget_text(shown.budget)}"
    return drawing(
        _WIDTH, _HEIGHT, name, _over(shown, axis), _ticks(axis), _limits(shown, axis), _estimate(shown, axis),
        class_="budget-line",
    )


@dataclass(frozen=True, kw_only=True)
class _Axis:
    low: float
    high: float

    def at(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return _LEFT + share * (_RIGHT - _LEFT)


def _axis_of(shown: BudgetLine) -> _Axis:
    numbers = (shown.reference, shown.value, shown.bound, shown.budget)
    room = max((max(numbers) / min(numbers)) ** 0.08, 1.01)
    return _Axis(low=min(numbers) / room, high=max(numbers) * room)


def _over(shown: BudgetLine, axis: _Axis) -> Markup:
    left = axis.at(shown.budget)
    return element("rect", x=left, y=_TOP + 12, width=_RIGHT - left, height=_AXIS - _TOP - 12, class_="over")


def _ticks(axis: _Axis) -> Markup:
    drawn = [line((_LEFT, _AXIS), (_RIGHT, _AXIS), class_="rule")]
    for tick in ratio_ticks(axis.low, axis.high):
        at = axis.at(tick)
        drawn.append(line((at, _AXIS), (at, _AXIS + 5), class_="rule"))
        drawn.append(text(number(tick), at, _AXIS + 17, text_anchor="middle", class_="index"))
    return element("g", *drawn, class_="axis")


def _limits(shown: BudgetLine, axis: _Axis) -> Markup:
    """Dense model and budget: two upright lines, labelled away from each other."""
    dense_first = shown.reference <= shown.budget
    return element(
        "g",
        _upright(axis.at(shown.reference), f"dense {number(shown.reference)}", "dense", to_left=dense_first),
        _upright(axis.at(shown.budget), f"budget {budget_text(shown.budget)}", "budget", to_left=not dense_first),
    )


def _upright(at: float, label: str, kind: str, *, to_left: bool) -> Markup:
    anchor, x = ("end", at + 3) if to_left else ("start", at - 3)
    drawn = line((at, _TOP + 12), (at, _AXIS), class_=kind)
    return element("g", drawn, text(label, x, _TOP, text_anchor=anchor, class_=f"{kind}-label"))


def _estimate(shown: BudgetLine, axis: _Axis) -> Markup:
    value, bound = axis.at(shown.value), axis.at(shown.bound)
    label = f"upper bound {number_beside(shown.bound, shown.budget)}"
    return element(
        "g",
        line((value, _ROW), (bound, _ROW), class_="reach"),
        line((bound, _ROW - 8), (bound, _ROW + 8), class_="reach"),
        element("circle", cx=value, cy=_ROW, r=5.5, class_="value"),
        text(number(shown.value), value - 12, _ROW, text_anchor="end", class_="estimate"),
        text(label, bound + 8, _ROW, text_anchor="start", class_="estimate"),
    )
