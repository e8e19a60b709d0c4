"""The safetensors container: headers read without trust, and written.

A file is: 8 bytes little-endian header length, that many bytes of JSON (tensor name -> dtype, shape, byte range
within the data), then the data.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorp.errors import SourceError

#: Far more than any file has: the largest published checkpoints have some 100,000 tensors in 100 and more files.
_MAX_HEADER_BYTES, _MAX_TENSORS, _MAX_DIMENSIONS, _MAX_NAME_CHARACTERS = 50_000_000, 200_000, 16, 1_000
_ALIGNMENT = 8
_ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor in a safetensors file.

    Attributes:
        name: Its name.
        dtype: As safetensors spells it, `BF16` say.
        shape: Its dimensions.
        path: The file.
        start: Absolute offset of its first byte in the file.
        num_bytes: Its length.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    start: int
    num_bytes: int


def read_tensors(path: Path) -> tuple[Tensor, ...]:
    """The tensors of a file by ascending offset, from its header alone.

    Raises:
        SourceError: The header is malformed, too large, or does not cover the file's bytes exactly once.
    """
    try:
        return _read_tensors(path)
    except _Malformed as fault:
        raise SourceError(f"{path.name} is no sound safetensors file: {fault}", "Fetch the checkpoint again") from None


def encode_header(tensors: list[tuple[str, str, tuple[int, ...], int]]) -> bytes:
    """Length and header of a file that holds `(name, dtype, shape, num_bytes)` in this order, 8-byte aligned."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, dtype, shape, num_bytes in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + num_bytes]}
        offset += num_bytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    return len(encoded).to_bytes(8, "little") + encoded


class _Malformed(Exception):
    pass


def _read_tensors(path: Path) -> tuple[Tensor, ...]:
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if not 2 <= header_bytes <= min(_MAX_HEADER_BYTES, file_bytes - 8):
            raise _Malformed("its header's length is impossible")
        encoded = file.read(header_bytes)
    data_start = 8 + header_bytes
    tensors = [
        _tensor(name, entry, path, data_start) for name, entry in _parse(encoded).items() if name != "__metadata__"
    ]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.num_bytes))
    end = data_start
    for tensor in tensors:
        if tensor.start != end:
            raise _Malformed(f"the bytes of {tensor.name!r} overlap others or leave a hole")
        end += tensor.num_bytes
    if end != file_bytes:
        raise _Malformed(f"its tensors end at byte {end} and the file at {file_bytes}")
    return tuple(tensors)


def _parse(encoded: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        parsed = dict(pairs)
        if len(parsed) != len(pairs):
            raise _Malformed("its header names something twice")
        return parsed

    # Each tensor is an object with two lists, and metadata is one more: parsed, brackets take far more than a byte.
    if encoded.count(b"[") + encoded.count(b"{") > 3 * _MAX_TENSORS:
        raise _Malformed(f"its header names more than {_MAX_TENSORS} tensors")
    try:
        header = json.loads(encoded, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise _Malformed("its header is not JSON") from None
    if not isinstance(header, dict):
        raise _Malformed("its header is not a JSON object")
    return header


def _tensor(name: str, entry: Any, path: Path, data_start: int) -> Tensor:
    if not 0 < len(name) <= _MAX_NAME_CHARACTERS or not name.isprintable():
        raise _Malformed(f"{name[:100]!r} is no tensor's name")
    if not isinstance(entry, dict) or str(entry.get("dtype")) not in _ITEM_BYTES:
        raise _Malformed(f"{name!r} has no known dtype")
    shape, (begin, end) = _naturals(entry.get("shape")), _naturals(entry.get("data_offsets"), 2)
    if len(shape) > _MAX_DIMENSIONS:
        raise _Malformed(f"{name!r} has {len(shape)} dimensions")
    num_bytes = math.prod(shape) * _ITEM_BYTES[entry["dtype"]]
    if end - begin != num_bytes:
        raise _Malformed(f"{name!r} has a range that does not fit its shape")
    return Tensor(
        name=name, dtype=entry["dtype"], shape=shape, path=path, start=data_start + begin, num_bytes=num_bytes
    )


def _naturals(values: Any, length: int | None = None) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**63 for value in values):
        raise _Malformed("a shape or range is impossible")
    if length is not None and len(values) != length:
        raise _Malformed("a range has no two ends")
    return tuple(values)
