"""YAML that others wrote -> plain values.

PyYAML's safe loader runs no code, but fails in many ways of its own on tags that do not fit what they stand before, and
names for values make a short text stand for one that fills the memory. Neither gets through here.
"""

from typing import Any

import yaml

from lorp.errors import first_line

#: What the loader's constructors raise beside `yaml.YAMLError`: for `!!int ''`, `!!bool x` and `!!timestamp x`, say.
_RAISED = (
    yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip


_MOST_DEPTH = 50


class PlainLoader(yaml.SafeLoader):
    """Plain values, each written where it stands, and none very deep within others."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node, unless it is the name of another."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        place: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            problem = f"*{event.anchor} stands for another value"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=place)
        if self._depth > _MOST_DEPTH:
            problem = f"more than {_MOST_DEPTH} values within each other"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=place)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def plain_yaml(text: str, loader: type[PlainLoader] = PlainLoader) -> Any:
    """The value of a YAML document.

    Args:
        text: The document.
        loader: By which its scalars are understood.

    Raises:
        ValueError: It is none; says in one line why, and where that is known.
    """
    try:
        return loader(text).get_single_data()
    except _RAISED as fault:
        raise ValueError(_said(fault)) from None


def _said(fault: Exception) -> str:
    if isinstance(fault, yaml.MarkedYAMLError) and fault.problem_mark:
        return f"line {fault.problem_mark.line + 1}: {fault.problem}"
    return first_line(fault)
