"""Sounds and images that texts are made from, as files hold them. Nothing here is decoded, and nothing is trusted."""

import base64
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from lorp.digest import digest_bytes
from lorp.errors import CorpusError

MediumKind = Literal["sound", "image"]
#: What a text may be made from.
PairKind = Literal["text", "sound", "image"]
MEDIUM_KINDS: tuple[MediumKind, ...] = get_args(MediumKind)

#: Half an hour of sound, or an image of any size that a model looks at.
MAX_MEDIUM_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A sound or an image.

    Attributes:
        kind: Which.
        base64: The bytes of its file.
    """

    kind: MediumKind
    base64: str

    @property
    def data(self) -> bytes:
        """The bytes of its file."""
        return base64.b64decode(self.base64)

    @cached_property
    def sha256(self) -> str:
        """Digest of the file, which may be large and is asked for often."""
        return digest_bytes(self.data)


def medium_of(kind: MediumKind, value: Any, folder: Path | None, where: str) -> Medium | None:
    """The medium in a field of a row: its bytes, the name of a file beside the rows, or both as datasets hold them.

    Args:
        kind: Which it is.
        value: The field: bytes, text, or a mapping with `bytes` (in JSON as base64) or `path`; None for none.
        folder: Where the rows lie; files are read from there and below. None where there are no files beside rows.
        where: The row, in the words of an error.

    Raises:
        CorpusError: Neither; a file is missing, outside the folder, or too large.
    """
    if isinstance(value, dict):
        if not {"bytes", "path"} & value.keys():
            raise CorpusError(f"{where} has neither bytes nor the path of a {kind}", "Give one of both")
        value = _encoded(value["bytes"], where) if value.get("bytes") is not None else value.get("path")
    if value is None:
        return None
    if isinstance(value, str):
        value = _file(value, folder, where)
    if not isinstance(value, bytes):
        raise CorpusError(f"{where} is no {kind} but {type(value).__name__}", "Name the column that holds it")
    if not 0 < len(value) <= MAX_MEDIUM_BYTES:
        raise CorpusError(f"the {kind} of {where} has {len(value)} bytes", f"Give 1 to {MAX_MEDIUM_BYTES}")
    return Medium(kind=kind, base64=base64.b64encode(value).decode())


def _encoded(value: Any, where: str) -> Any:
    """Bytes, which JSON holds as base64."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:  # also where it is not ASCII
        raise CorpusError(f"the bytes of {where} are no base64", "Encode them, or name a file") from None


def _file(name: str, folder: Path | None, where: str) -> bytes:
    if folder is None:
        raise CorpusError(f"{where} names a file, and holds none", "Give a dataset that holds the bytes")
    try:
        path, inside = (folder / name).resolve(), folder.resolve()
        if not path.is_relative_to(inside):
            raise CorpusError(f"{where} names a file outside {folder}", "Copy it beside the rows")
        if not path.is_file():
            raise CorpusError(f"{where} names {name[:200]!r}, which is no file in {folder}", "Put it there")
        if path.stat().st_size > MAX_MEDIUM_BYTES:
            raise CorpusError(f"{where} names a file of over {MAX_MEDIUM_BYTES} bytes", "Give a smaller one")
        return path.read_bytes()
    except (OSError, ValueError) as fault:
        raise CorpusError(f"{where} names a file that cannot be read: {str(fault)[:200]}", "Look at it") from None
