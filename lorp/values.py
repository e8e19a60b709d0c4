"""Frozen dataclasses <-> canonical JSON, so that equal values have equal bytes and digests."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lorp.digest import canonical_json
from lorp.errors import IntegrityError

Value = TypeVar("Value")

#: What is in JSON that may hold NaN, infinity or a number that is too large for a float: texts may say so too.
_MAYBE_NOT_FINITE = re.compile(rb"NaN|Infinity|[eE]\+?[0-9]{3}|[0-9]{300}")

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
        # Classes can be keys, whatever the cache's annotation says.
        value: Value = _adapter(kind).validate_json(data, strict=True)  # type: ignore[arg-type]
        if _MAYBE_NOT_FINITE.search(data):
            json.loads(data, parse_constant=_refuse, parse_float=_finite, parse_int=_finite)
    except ValidationError as fault:
        what = fault.errors()[0]["msg"]
    except ValueError as fault:
        what = str(fault)
    else:
        return value
    raise IntegrityError(f"stored bytes are no {kind.__name__}: {what}", "Recompute what holds them")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no finite number")


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
