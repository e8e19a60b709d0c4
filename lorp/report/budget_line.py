"""A criterion's value, upper bound and budget on one line -> one SVG drawing."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from lorp.report.axes import ratio_ticks
from lorp.report.svg import drawing, element, line, text
from lorp.report.text import exactly, number, number_beside

_WIDTH, _HEIGHT = 760, 118
_LEFT, _RIGHT = 90, 650
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

    @property
    def caption(self) -> str:
        """What the line shows, in words."""
        bound = number_beside(self.bound, self.budget)
        return f"{self.name}: {number(self.value)}, upper bound {bound}, budget {exactly(self.budget)}"


def budget_line(shown: BudgetLine) -> Markup:
    """Draws them on a logarithmic axis, with the side over the budget shaded."""
    axis = _axis_of(shown)
    parts = (_over(shown, axis), _ticks(axis), _limits(shown, axis), _estimate(shown, axis))
    return drawing(_WIDTH, _HEIGHT, shown.caption, *parts, class_="budget-line")


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
        drawn.append(text(exactly(tick), at, _AXIS + 17, text_anchor="middle", class_="index"))
    return element("g", *drawn, class_="axis")


def _limits(shown: BudgetLine, axis: _Axis) -> Markup:
    """Dense model and budget: two upright lines, labelled away from each other."""
    dense_first = shown.reference <= shown.budget
    return element(
        "g",
        _upright(axis.at(shown.reference), f"dense {_reference_text(shown.reference)}", "dense", to_left=dense_first),
        _upright(axis.at(shown.budget), f"budget {exactly(shown.budget)}", "budget", to_left=not dense_first),
    )


def _upright(at: float, label: str, kind: str, *, to_left: bool) -> Markup:
    anchor, x = ("end", at + 3) if to_left else ("start", at - 3)
    drawn = line((at, _TOP + 12), (at, _AXIS), class_=kind)
    return element("g", drawn, text(label, x, _TOP, text_anchor=anchor, class_=f"{kind}-label"))


def _estimate(shown: BudgetLine, axis: _Axis) -> Markup:
    value, bound = axis.at(shown.value), axis.at(shown.bound)
    reach = line((value, _ROW), (bound, _ROW), class_="reach")
    end = line((bound, _ROW - 9), (bound, _ROW + 9), class_="reach")
    return element("g", reach, end, element("circle", cx=value, cy=_ROW, r=6, class_="value"))


def _reference_text(reference: float) -> str:
    return "1" if reference == 1 else number(reference)
