"""Values of a quantisation config, which may hold anything, as what they ought to be."""

from collections.abc import Mapping
from typing import Any

from lorp.errors import SourceError

Config = Mapping[str, Any]


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
    """Yes or no; what is absent or null is the default.

    Raises:
        SourceError: It is neither.
    """
    value = config.get(field)
    if value is None:
        return default
    if type(value) is not bool:
        raise wrong(field, "neither true nor false")
    return value


def text(config: Config, field: str, default: str) -> str:
    """A text; what is absent or null is the default.

    Raises:
        SourceError: It is none.
    """
    value = config.get(field)
    if value is None:
        return default
    if not isinstance(value, str):
        raise wrong(field, "no text")
    return value


def names(config: Config, field: str) -> tuple[str, ...]:
    """A list of names; empty where it is absent or null.

    Raises:
        SourceError: It is none.
    """
    value = config.get(field)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise wrong(field, "no list of names")
    return tuple(value)


def section(config: Config, field: str) -> Config:
    """A part of the config; empty where it is absent or null.

    Raises:
        SourceError: It is none.
    """
    value = config.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(field, "no object")
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
