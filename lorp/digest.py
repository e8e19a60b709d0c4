"""Canonical JSON, and sha256 digests of values, files and folders.

Digests are lower-case hexadecimal strings of 64 characters.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 22


def canonical_json(value: Any) -> bytes:
    """The one encoding of a JSON value: sorted keys, no white space, ASCII, no NaN or infinity.

    Raises:
        ValueError: The value holds NaN or infinity.
        TypeError: The value is not JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest_bytes(data: bytes) -> str:
    """sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_value(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """sha256 of a file's content, read in chunks of 4 MiB."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


@dataclass(frozen=True, kw_only=True)
class FileDigest:
    """A file of a folder: its name there, its sha256 and its size in bytes."""

    name: str
    sha256: str
    bytes: int


def digest_listing(files: Iterable[FileDigest]) -> str:
    """Digest of a folder from those of its files; their order does not matter."""
    return digest_value(sorted([file.name, file.sha256, file.bytes] for file in files))


def list_files(folder: Path, names: Iterable[str]) -> tuple[FileDigest, ...]:
    """The named files of a folder with digest and size, sorted by name."""
    return tuple(
        FileDigest(name=name, sha256=digest_file(folder / name), bytes=(folder / name).stat().st_size)
        for name in sorted(names)
    )
