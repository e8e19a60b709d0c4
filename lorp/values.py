"""Frozen dataclasses <-> canonical JSON, so that equal values have equal bytes and digests."""

from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lorp.digest import canonical_json
from lorp.errors import IntegrityError

Value = TypeVar("Value")


def encode(value: Any) -> bytes:
    """A dataclass as canonical JSON.

    Raises:
        ValueError: It holds NaN or infinity.
    """
    return canonical_json(asdict(value))


def decode(kind: type[Value], data: bytes) -> Value:
    """The dataclass that `encode` wrote.

    Raises:
        IntegrityError: The bytes are no such value.
    """
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as fault:
        what = fault.errors()[0]["msg"]
        raise IntegrityError(f"stored bytes are no {kind.__name__}: {what}", "Recompute what holds them") from None
