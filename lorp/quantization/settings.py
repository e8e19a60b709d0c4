"""Values of a quantisation config, which may hold anything, as what they ought to be."""

from collections.abc import Mapping
from typing import Any, TypeVar

from lorp.errors import SourceError

Config = Mapping[str, Any]
Value = TypeVar("Value")


def natural(config: Config, field: str, default: int | None = None) -> int:
    """A number of at least 1.

    Raises:
        SourceError: It is none.
    """
    value = config.get(field, default)
    if type(value) is not int or value < 1:
        raise wrong(field, "no number above 0")
    return value


def flag(config: Config, field: str, default: bool) -> bool:
    """Yes or no; what is absent or null is the default. Raises SourceError where it is neither."""
    return _given(config, field, default, bool, "neither true nor false")


def text(config: Config, field: str, default: str) -> str:
    """A text; what is absent or null is the default. Raises SourceError where it is none."""
    return _given(config, field, default, str, "no text")


def names(config: Config, field: str) -> tuple[str, ...]:
    """A list of names; empty where it is absent or null. Raises SourceError where it is none."""
    value = _given(config, field, [], list, "no list of names")
    if not all(isinstance(name, str) and name for name in value):
        raise wrong(field, "no list of names")
    return tuple(value)


def section(config: Config, field: str) -> Config:
    """A part of the config; empty where it is absent or null. Raises SourceError where it is none."""
    return _given(config, field, {}, dict, "no object")


def _given(config: Config, field: str, default: Value, kind: type[Value], what: str) -> Value:
    value = config.get(field)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise wrong(field, what)
    return value


def group_size(config: Config, default: int) -> int | None:
    """How many inputs share a scale; None where all do.

    Raises:
        SourceError: It is no such number.
    """
    return None if config.get("group_size", default) == -1 else natural(config, "group_size", default)


def wrong(field: str, what: str) -> SourceError:
    """The error for a field that is not what it ought to be."""
    return SourceError(f"{field} in its quantisation config is {what}", "Mend the config")


def unknown(method: str, what: str) -> SourceError:
    """The error for a kind of storing weights that is not known."""
    return SourceError(f"its weights are quantised by {method} with {what}, which lorp cannot prune", "Dequantise it")
