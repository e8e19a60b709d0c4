"""WAV files of whole numbers -> samples. Nothing that a file says of itself is trusted.

Shapes: S samples, C channels.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorp.errors import CorpusError

_WHOLE, _EXTENSIBLE = 1, 0xFFFE
#: What follows the kind of number where a format is extensible.
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
_BASIC_BYTES, _EXTENDED_BYTES = 16, 40
#: Bytes of a sample that has no sign, of one that no kind of number has, and of all that are read.
_UNSIGNED, _INT24, _WIDTHS = 1, 3, (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Wav:
    """A sound as its file holds it.

    Attributes:
        rate: Samples a second.
        width: Bytes a sample.
        channels: C.
        data: The samples, channel by channel.
    """

    rate: int
    width: int
    channels: int
    data: bytes

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.num_samples / self.rate

    @property
    def num_samples(self) -> int:
        """S."""
        return len(self.data) // (self.width * self.channels)

    @property
    def samples(self) -> NDArray[np.float64]:
        """Numbers in -1 to 1, the mean of all channels."""
        mean: NDArray[np.float64] = _numbers(self.data, self.width).reshape(-1, self.channels).mean(axis=1)
        return mean


def read_wav(data: bytes) -> Wav:
    """What a file holds.

    Raises:
        CorpusError: It is no WAV file, holds no whole numbers of 1 to 4 bytes, or is cut off.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise _no_wav("it does not begin like one")
    chunks = _chunks(data)
    form, samples = chunks.get(b"fmt "), chunks.get(b"data")
    if form is None or samples is None or len(form) < _BASIC_BYTES:
        raise _no_wav("its format or its samples are missing")
    kind, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", form[:_BASIC_BYTES])
    if kind == _EXTENSIBLE and form[26:_EXTENDED_BYTES] == _SUBFORMAT:
        kind = int.from_bytes(form[24:26], "little")
    width = -(-bits // 8)
    if kind != _WHOLE or width not in _WIDTHS:
        raise _no_wav(f"its samples have {bits} bits and are of kind {kind}")
    if not rate or not channels or frame != width * channels or len(samples) % frame:
        raise _no_wav("what it says of its samples does not fit them")
    return Wav(rate=rate, width=width, channels=channels, data=samples)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The parts of a file, the first of each name, as far as the samples."""
    found: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(data) and b"data" not in found:
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        part = data[place + 8 : place + 8 + size]
        if len(part) < size:
            raise CorpusError("a sound is cut off: its file says that there is more", "Fetch or write it again")
        found.setdefault(name, part)
        place += 8 + size + size % 2
    return found


def _no_wav(reason: str) -> CorpusError:
    return CorpusError(f"a sound is no WAV file of whole numbers: {reason}", "Write it as WAV of 16 bits a sample")


def _numbers(data: bytes, width: int) -> NDArray[np.float64]:
    if width == _UNSIGNED:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    if width == _INT24:
        parts = np.frombuffer(data, np.uint8).reshape(-1, _INT24)
        wide = np.zeros((len(parts), 4), np.uint8)
        wide[:, 1:] = parts
        return wide.view("<i4")[:, 0] / 2.0**31
    return np.frombuffer(data, f"<i{width}") / 2.0 ** (8 * width - 1)
