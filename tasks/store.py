"""Object stores: keys -> bytes, created once and never overwritten.

`ObjectStore` is what every store does; `FolderStore` does it in a local folder. What the bytes mean, and whether they
are still what they were, is `tasks.vault`'s business.
"""

import os
import re
import shutil
from collections.abc import Hashable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from lorp.errors import IntegrityError, StoreError
from tasks.scratch import scratch_folder, sweep

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_SCRATCH = ".scratch"


class ObjectStore(Protocol):
    """Keys are relative paths of names that begin with a letter, a digit or an underscore."""

    def address(self, key: str) -> str:
        """Where others find an object or folder."""

    def create(self, key: str, source: bytes | Path) -> bool:
        """Stores bytes, or a file's content, under a key; False if something is there already.

        A file that lies in a `scratch` folder may be taken over instead of copied.
        """

    def read(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            IntegrityError: There is none.
        """

    def local(self, key: str) -> Path:
        """A path on the local disk where an object's or a folder's bytes are."""

    def keys(self, prefix: str) -> list[str]:
        """Keys of the objects in a folder and those below it, sorted."""

    def fingerprint(self, key: str) -> Hashable | None:
        """Something that changes whenever the object does; None if there is none."""

    def move(self, key: str, to: str) -> None:
        """Moves an object out of the way."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A new folder for work in progress, gone at the end."""


def open_store(uri: str) -> ObjectStore:
    """The store at a folder's path or `file://` address, made if it is not there.

    Raises:
        StoreError: Another kind of address, or a folder that cannot be written.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme and len(parts.scheme) > 1:
        raise StoreError(f"there is no store for {parts.scheme}:// addresses", "Give a folder with --store")
    return FolderStore(Path(uri))


class FolderStore:
    """An object store in a local folder."""

    def __init__(self, root: Path) -> None:
        """Opens or makes the folder.

        Raises:
            StoreError: It cannot be written.
        """
        self._root = root.expanduser().resolve()
        try:
            sweep(self._root / _SCRATCH)
        except OSError as fault:
            raise StoreError(
                f"the store {self._root} cannot be written: {fault.strerror}", "Give another folder with --store"
            ) from None

    def address(self, key: str) -> str:
        """Its `file://` address."""
        return self._path(key).as_uri()

    def create(self, key: str, source: bytes | Path) -> bool:
        """Writes beside, then links into place: an object is there whole or not at all."""
        target = self._path(key)
        if isinstance(source, Path) and source.is_relative_to(self._root / _SCRATCH):
            return _link(source, target)
        with self.scratch() as folder:
            staged = folder / "staged"
            if isinstance(source, Path):
                shutil.copyfile(source, staged)
            else:
                staged.write_bytes(source)
            return _link(staged, target)

    def read(self, key: str) -> bytes:
        """The file's content."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise IntegrityError(f"{key} is not in the store", "Run again to make it anew") from None

    def local(self, key: str) -> Path:
        """The path itself."""
        return self._path(key)

    def keys(self, prefix: str) -> list[str]:
        """All files below a folder, hidden ones too."""
        folder = self._path(prefix)
        return sorted(str(path.relative_to(self._root)) for path in folder.rglob("*") if not path.is_dir())

    def fingerprint(self, key: str) -> Hashable | None:
        """Inode, size and times: any write changes the last."""
        try:
            found = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def move(self, key: str, to: str) -> None:
        """Renames the file."""
        target = self._path(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        (self._root / key).replace(target)

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder on the store's own file system, so that files can be linked into place."""
        return scratch_folder(self._root / _SCRATCH)

    def _path(self, key: str) -> Path:
        assert _KEY.fullmatch(key), f"not a key: {key!r}"
        return self._root / key


def _link(staged: Path, target: Path) -> bool:
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(staged, target)
    except FileExistsError:
        return False
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
