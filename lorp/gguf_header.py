"""The header of a GGUF file held against the file's size, before a reader that believes it is let near.

That reader makes an object of each element of an array, however many the file says there are, and goes on past its end.
A file is: magic, version, number of tensors, number of fields; the fields, each a name, a type and a value; then name,
dimensions, type and offset of each tensor; then the data. All numbers are little-endian.
"""

import math
import re
from io import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

from lorp.errors import SourceError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
#: Far more than any file has, or a vocabulary takes.
_MOST_FIELDS, _MOST_TENSORS, _MOST_ELEMENTS, _MOST_NAME_BYTES, _MOST_DIMENSIONS = 1 << 12, 1 << 17, 1 << 22, 1 << 16, 8
#: Bytes of a value, by its type.
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9
_BLOCK = re.compile(r"\bblk\.(?P<number>\d{1,6})\.")
#: The closest that weights are packed is 1.56 bits each.
_MOST_WEIGHTS_A_BYTE = 8


class _Malformed(Exception):
    pass


def check_header(path: Path) -> None:
    """Refuses a file whose header says more than the file can hold.

    Raises:
        SourceError: It does, or is malformed.
    """
    try:
        with path.open("rb") as file:
            _Header(file, path.stat().st_size).check()
    except (_Malformed, OSError) as fault:
        raise SourceError(f"{path.name} is no readable GGUF file: {fault}", "Fetch the file again") from None


class _Header:
    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file, self._num_bytes = file, num_bytes
        self._elements_left, self._weights_left = _MOST_ELEMENTS, _MOST_WEIGHTS_A_BYTE * num_bytes
        self._num_blocks = self._deepest = 0

    def check(self) -> None:
        """Reads all of it."""
        if self._take(4) != MAGIC or self._number(4) not in _VERSIONS:
            raise _Malformed("it is of another version")
        num_tensors, num_fields = self._number(8), self._number(8)
        if num_tensors > _MOST_TENSORS or num_fields > _MOST_FIELDS:
            raise _Malformed(f"it says that it has {num_tensors} tensors and {num_fields} fields")
        for _ in range(num_fields):
            self._field(self._name(), self._number(4))
        for _ in range(num_tensors):
            self._tensor()
        if self._num_blocks > self._deepest:
            raise _Malformed(f"it says that it has {self._num_blocks} blocks, and has tensors of {self._deepest}")

    def _field(self, name: str, kind: int) -> None:
        if name.endswith(".block_count") and kind in _VALUE_BYTES:
            self._num_blocks = max(self._num_blocks, self._number(_VALUE_BYTES[kind]))
        else:
            self._value(kind)

    def _value(self, kind: int) -> None:
        if kind == _TEXT:
            self._skip(self._number(8))
        elif kind == _ARRAY:
            self._array()
        elif kind in _VALUE_BYTES:
            self._skip(_VALUE_BYTES[kind])
        else:
            raise _Malformed(f"it has a value of the unknown type {kind}")

    def _array(self) -> None:
        kind, length = self._number(4), self._number(8)
        self._elements_left -= length
        if self._elements_left < 0:
            raise _Malformed(f"it has a list of {length} values")
        if kind in _VALUE_BYTES:
            self._skip(length * _VALUE_BYTES[kind])
        elif kind == _TEXT:
            for _ in range(length):
                self._value(kind)
        else:
            raise _Malformed(f"it has a list of values of the type {kind}")

    def _tensor(self) -> None:
        name, num_dimensions = self._name(), self._number(4)
        if num_dimensions > _MOST_DIMENSIONS:
            raise _Malformed(f"its tensor {name!r} has {num_dimensions} dimensions")
        shape = [self._number(8) for _ in range(num_dimensions)]
        self._number(4)
        self._weights_left -= math.prod(shape)
        if block := _BLOCK.search(name):
            self._deepest = max(self._deepest, int(block["number"]) + 1)
        if self._weights_left < 0 or self._number(8) > self._num_bytes:
            raise _Malformed(f"its tensor {name!r} of the shape {shape} does not fit into it")

    def _name(self) -> str:
        length = self._number(8)
        if length > _MOST_NAME_BYTES:
            raise _Malformed(f"it has a name of {length} bytes")
        return self._take(length).decode(errors="replace")[:100]

    def _number(self, num_bytes: int) -> int:
        return int.from_bytes(self._take(num_bytes), "little")

    def _take(self, num_bytes: int) -> bytes:
        data = self._file.read(num_bytes)
        if len(data) < num_bytes:
            raise _Malformed("it ends within its header")
        return data

    def _skip(self, num_bytes: int) -> None:
        if num_bytes > self._num_bytes - self._file.tell():
            raise _Malformed("it ends within its header")
        self._file.seek(num_bytes, SEEK_CUR)
