"""Sound bytes and sound JSON -> broken ones, by a seeded draw."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

_NUMBERS = (
    b"1e999", b"-1", b"0", b"NaN", b"-Infinity", b"9223372036854775808", b"1" * 400, b"1" * 5000, b"1e308", b"0.5",
    b"-0", b"4294967296",
)  # fmt: skip
_TEXTS = (
    "", "\x00", "\x1b[31mred\x1b[0m", "a\nb", "\u202eelif", "\ud800", "../../etc/passwd", "/etc/passwd", "x" * 5000,
    "<script>alert(1)</script>", "{{ 7 * 7 }}", "é" * 40, "\u2028", "con", "0" * 64, "nan", "true",
)  # fmt: skip


def deep(depth: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def odd_value(draw: Random) -> Any:
    """What nobody expects where it stands."""
    number = draw.choice((0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 1.5, -0.0, 1e308, True))
    odd = (None, number, number, [], {}, [None], {"": None}, [[1]], draw.choice(_TEXTS), draw.choice(_TEXTS), False)
    return deep(draw.choice((2, 60, 300))) if draw.random() < 0.04 else draw.choice(odd)


def bytes_of(data: bytes, draw: Random) -> bytes:
    """Bytes that are a few edits away."""
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        data = draw.choice(_EDITS)(data, draw)
    return data


def _place(data: bytes, draw: Random) -> int:
    return draw.randrange(len(data) + 1)


def _flip(data: bytes, draw: Random) -> bytes:
    if not data:
        return b"\xff"
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ draw.randrange(1, 256)]) + data[place + 1 :]


def _cut(data: bytes, draw: Random) -> bytes:
    return data[: _place(data, draw)]


def _drop(data: bytes, draw: Random) -> bytes:
    place = _place(data, draw)
    return data[:place] + data[place + draw.choice((1, 4, 8, 64)) :]


def _splice(data: bytes, draw: Random) -> bytes:
    one, other, length = _place(data, draw), _place(data, draw), draw.choice((1, 8, 200))
    return data[:one] + data[other : other + length] + data[one:]


def _insert(data: bytes, draw: Random) -> bytes:
    place = _place(data, draw)
    new = draw.choice((b"\x00", b"\xff" * 8, b"\xed\xa0\x80", b"[" * 3000, b'{"a":' * 500, *_NUMBERS))
    return data[:place] + new + data[place:]


def _number(data: bytes, draw: Random) -> bytes:
    """Another number where a digit stands."""
    digits = [place for place, byte in enumerate(data[:20_000]) if 48 <= byte <= 57]
    if not digits:
        return _insert(data, draw)
    start = end = draw.choice(digits)
    while end < len(data) and data[end] in b"0123456789.eE+-":
        end += 1
    return data[:start] + draw.choice(_NUMBERS) + data[end:]


def _length(data: bytes, draw: Random) -> bytes:
    """Another whole number of 4 or 8 bytes."""
    size = draw.choice((4, 8))
    new = draw.choice((0, 1, 2, 2**16, 2**24, 2**31 - 1, 2**32 - 1, 2**60, 2**63, 2**64 - 1)) % 2 ** (8 * size)
    place = draw.choice((0, 4, 8, 16, _place(data, draw)))
    return data[:place] + new.to_bytes(size, "little") + data[place + size :]


_EDITS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _flip, _cut, _drop, _splice, _insert, _number, _number, _length,
)  # fmt: skip


def value_of(value: Any, draw: Random) -> Any:
    """A JSON value that is a few edits away; the one that is given stays as it is."""
    value = json.loads(json.dumps(value))
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        holder, key = _somewhere(value, draw)
        if holder is None:
            return odd_value(draw)
        _edit(holder, key, draw)
    return value


def json_of(value: Any, draw: Random) -> bytes:
    """JSON text of such a value, as careless writers write it: names twice, NaN, surrogates."""
    text = json.dumps(value_of(value, draw), separators=draw.choice(((",", ":"), (", ", ": ")))).encode()
    if draw.random() < 0.1 and text[:1] == b"{" and len(text) > 2:
        first = text[1 : text.index(b":") + 1]
        text = b"{" + first + draw.choice(_NUMBERS) + b"," + text[1:]
    return bytes_of(text, draw) if draw.random() < 0.15 else text


def _somewhere(value: Any, draw: Random) -> tuple[Any, Any]:
    """A list or an object in a value, and a place in it; deeper ones as likely as those above."""
    places = []
    pending = [value]
    while pending:
        holder = pending.pop()
        inner = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, each in inner:
            places.append((holder, key))
            if isinstance(each, dict | list):
                pending.append(each)
    return draw.choice(places) if places else (None, None)


def _edit(holder: Any, key: Any, draw: Random) -> None:
    act = draw.randrange(6)
    if act == 0:
        del holder[key]
    elif act == 1 and isinstance(holder, dict):
        holder[draw.choice((*_TEXTS, f"{key}_", str(key).upper()))] = holder.pop(key)
    elif act in {1, 2}:
        extra = holder[key]
        if isinstance(holder, list):
            holder.insert(draw.randrange(len(holder) + 1), extra)
        else:
            holder[f"{key}2"] = extra
    elif act == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = draw.choice((-holder[key], holder[key] * 10**20, holder[key] + 1, str(holder[key])))
    else:
        holder[key] = odd_value(draw)
