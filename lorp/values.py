"""Frozen dataclasses <-> canonical JSON, so that equal values have equal bytes and digests."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lorp.digest import canonical_json
from lorp.errors import IntegrityError

Value = TypeVar("Value")

#: Metadata of a field that came later: left out where it has its default, so that older values keep their digests.
LATER: Mapping[str, bool] = {"later": True}


def encode(value: Any) -> bytes:
    """A dataclass as canonical JSON.

    Raises:
        ValueError: It holds NaN or infinity.
    """
    return canonical_json(_plain(value))


def decode(kind: type[Value], data: bytes) -> Value:
    """The dataclass that `encode` wrote.

    Raises:
        IntegrityError: The bytes are no such value.
    """
    try:
        value: Value = _adapter(kind).validate_json(data)  # type: ignore[arg-type]  # classes can be keys
        return value
    except ValidationError as fault:
        what = fault.errors()[0]["msg"]
        raise IntegrityError(f"stored bytes are no {kind.__name__}: {what}", "Recompute what holds them") from None


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once a kind: making one takes a hundred times longer than reading a value with it."""
    return TypeAdapter(kind)


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, however deep."""
    if is_dataclass(value):
        return {
            each.name: _plain(inner)
            for each in fields(value)
            for inner in [getattr(value, each.name)]
            if not (each.metadata.get("later") and inner == each.default)
        }
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
