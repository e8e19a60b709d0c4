"""What every object store does: keys -> bytes, created once and never overwritten."""

import re
from collections.abc import Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lorp.errors import IntegrityError

#: Relative paths of names that begin with a letter, a digit or an underscore.
KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a listing says of an object.

    Attributes:
        bytes: Its size.
        changed: When it came or was last changed, by the store's clock, in seconds since the epoch.
        fingerprint: As `ObjectStore.fingerprint`.
    """

    bytes: int
    changed: float
    fingerprint: Hashable


class ObjectStore(Protocol):
    """Keys are relative paths of names that begin with a letter, a digit or an underscore."""

    def address(self, key: str) -> str:
        """Where others find an object or folder."""

    def create(self, key: str, source: bytes | Path, lock: bool = False) -> bool:
        """Stores bytes, or a file's content, under a key; False if something is there already.

        A file that lies in a `scratch` folder may be taken over instead of copied.

        Args:
            key: The key.
            source: Bytes, or a file.
            lock: Whether the store shall refuse to delete it, if it is one that can.
        """

    def read(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            IntegrityError: There is none.
        """

    def read_all(self, prefix: str) -> dict[str, bytes]:
        """The bytes of every object in a folder and those below it, by key; of those that never change.

        What goes while this reads counts as gone before.
        """

    def digest(self, key: str) -> str:
        """sha256 of the bytes that `local` gives for an object.

        Raises:
            IntegrityError: There is none.
        """

    def fresh_digest(self, key: str) -> str:
        """sha256 of an object's bytes as they lie in the store now, whatever copies there are of it.

        Raises:
            IntegrityError: There is none.
        """

    def local(self, key: str) -> Path:
        """A path on the local disk that holds what an object or a folder holds now; only to be read.

        Raises:
            IntegrityError: There is none.
        """

    def keys(self, prefix: str) -> list[str]:
        """Keys of the objects in a folder and those below it, sorted; none where there is no such folder.

        Raises:
            StoreError: It cannot be listed.
        """

    def fingerprints(self, prefix: str) -> dict[str, Hashable]:
        """Those keys, each with its fingerprint."""

    def listing(self, prefix: str) -> dict[str, Stored]:
        """Those keys, each with size, time and fingerprint."""

    def fingerprint(self, key: str) -> Hashable | None:
        """Something that changes whenever the object does; None if there is nothing of that name."""

    def move(self, key: str, to: str, fingerprint: Hashable | None = None) -> None:
        """Moves an object, or what has its name, out of the way; only while it has that fingerprint, if one is given.

        Raises:
            IntegrityError: There is none, or another by now.
        """

    def remove(self, key: str, fingerprint: Hashable) -> bool:
        """Removes an object for good, only while it has that fingerprint; False if it is gone, or another by now."""

    def clock(self) -> float:
        """What time it is by the clock that `Stored.changed` is of, in seconds since the epoch."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A new folder for work in progress, gone at the end."""


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        IntegrityError: It is none: what has lain in a store may name anything.
    """
    if not KEY.fullmatch(key):
        raise IntegrityError(f"{key!r} is no key of a store", "Trust nothing that names it")
    return key


def missing(key: str) -> IntegrityError:
    """Says that an object is not there."""
    return IntegrityError(f"{key} is not in the store", "Run again to make it anew")
