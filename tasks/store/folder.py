"""The object store in a local folder."""

import os
import shutil
import stat
import time
from collections.abc import Hashable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lorp.digest import digest_file
from lorp.disk import check_room, full_told
from lorp.errors import IntegrityError, StoreError
from tasks.scratch import scratch_folder, sweep
from tasks.store.protocol import Stored, check_key, missing

_SCRATCH = ".scratch"


def folder_at(uri: str) -> Path | None:
    """The path that a `file://` address names; None if it names another machine, or more than a path."""
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or not parts.path:
        return None
    return Path(unquote(parts.path))


class FolderStore:
    """An object store in a local folder."""

    def __init__(self, root: Path) -> None:
        """Makes nothing yet."""
        self._root = root.expanduser().resolve()

    @property
    def is_there(self) -> bool:
        """Whether there is such a folder."""
        return self._root.is_dir()

    def prepare(self) -> None:
        """Makes the folder if it is not there, and removes what killed processes have left.

        Raises:
            StoreError: It cannot be written.
        """
        try:
            sweep(self._root / _SCRATCH)
        except OSError as fault:
            raise StoreError(
                f"the store {self._root} cannot be written: {fault.strerror}", "Give another folder with --store"
            ) from None

    def address(self, key: str) -> str:
        """Its `file://` address."""
        return self._path(key).as_uri()

    def create(self, key: str, source: bytes | Path, lock: bool = False) -> bool:
        """Writes beside, then links into place: an object is there whole or not at all. A folder cannot lock."""
        target = self._path(key)
        with full_told(self._root):
            if isinstance(source, Path) and source.is_relative_to(self._root / _SCRATCH):
                return _link(source, target)
            check_room(self._root, source.stat().st_size if isinstance(source, Path) else len(source))
            with self.scratch() as folder:
                staged = folder / "staged"
                if isinstance(source, Path):
                    shutil.copyfile(source, staged)
                else:
                    staged.write_bytes(source)
                return _link(staged, target)

    def read(self, key: str) -> bytes:
        """The file's content."""
        return self._file(key).read_bytes()

    def read_all(self, prefix: str) -> dict[str, bytes]:
        """Reads regular files; links and the like are no objects."""
        read: dict[str, bytes] = {}
        if self._path(prefix).resolve() != self._path(prefix):
            return read
        for key in self.keys(prefix):  # which leads through no link below
            with suppress(IntegrityError, FileNotFoundError):
                path = self._path(key)
                if _is_regular(path):
                    read[key] = path.read_bytes()
        return read

    def digest(self, key: str) -> str:
        """Reads the file."""
        return digest_file(self._file(key))

    def fresh_digest(self, key: str) -> str:
        """Reads the file: there are no copies."""
        return self.digest(key)

    def local(self, key: str) -> Path:
        """The path itself."""
        path = self._path(key)
        if not path.exists():
            raise missing(key)
        return path

    def keys(self, prefix: str) -> list[str]:
        """All files below a folder, hidden ones too, and links to folders, which are not followed."""
        found = os.walk(self._path(prefix), onerror=_unlisted)
        beginning = len(str(self._root / "_")) - 1
        return sorted(
            os.path.join(folder, name)[beginning:]  # noqa: PTH118  # stores have thousands of these
            for folder, folders, names in found
            for name in (*names, *(each for each in folders if (Path(folder) / each).is_symlink()))
        )

    def fingerprints(self, prefix: str) -> dict[str, Hashable]:
        """Those files' fingerprints."""
        return {key: _fingerprint(self._root / key) for key in self.keys(prefix)}

    def listing(self, prefix: str) -> dict[str, Stored]:
        """Those files; moved and linked files count as changed."""
        found = {key: _status(self._root / key) for key in self.keys(prefix)}
        return {
            key: Stored(bytes=status.st_size, changed=status.st_ctime, fingerprint=_identity(status))
            for key, status in found.items()
            if status
        }

    def fingerprint(self, key: str) -> Hashable | None:
        """Inode, size and times: any write changes the last."""
        return _fingerprint(self._path(key))

    def move(self, key: str, to: str, fingerprint: Hashable | None = None) -> None:
        """Renames the file, or whatever has its name."""
        if fingerprint is not None and _fingerprint(self._root / key) != fingerprint:
            raise missing(key)
        target = self._path(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            (self._root / key).replace(target)
        except FileNotFoundError:
            raise missing(key) from None

    def remove(self, key: str, fingerprint: Hashable) -> bool:
        """Unlinks the file, and removes the folder that it was the last of."""
        path = self._path(key)
        if _fingerprint(path) != fingerprint:
            return False
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as fault:
            raise StoreError(
                f"{path} cannot be removed: {fault.strerror}", "Run this as who may write to the store"
            ) from None
        if path.parent.parent != self._root:
            with suppress(OSError):  # others are in it
                path.parent.rmdir()
        return True

    def clock(self) -> float:
        """The file system's, which may be another machine's; this process's where it may not write."""
        try:
            with self.scratch() as folder:
                return folder.stat().st_ctime
        except OSError:
            return time.time()

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder on the store's own file system, so that files can be linked into place."""
        return scratch_folder(self._root / _SCRATCH)

    def _file(self, key: str) -> Path:
        """Path of a regular file: links, folders and pipes are no objects, wherever they lead."""
        path = self._path(key)
        if _is_regular(path) and path.parent.resolve() == path.parent:
            return path
        raise missing(key)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


def _unlisted(fault: OSError) -> None:
    """A folder that cannot be listed is not empty; one that is gone, or is none, has nothing in it."""
    if not isinstance(fault, FileNotFoundError | NotADirectoryError):
        raise StoreError(f"{fault.filename} cannot be listed: {fault.strerror}", "Run this as who may read the store")


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _fingerprint(path: Path) -> Hashable | None:
    found = _status(path)
    return _identity(found) if found else None


def _identity(status: os.stat_result) -> Hashable:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()  # a link that leads nowhere takes up its name too
    except (FileNotFoundError, NotADirectoryError):
        return None


def _link(staged: Path, target: Path) -> bool:
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    while True:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if os.path.lexists(target.parent) and not target.parent.is_dir():
                raise
            continue  # it was there, and was removed before it could be looked at
        try:
            os.link(staged, target)
            break
        except FileExistsError:
            return False
        except FileNotFoundError:
            if not staged.exists():
                raise
            # the folder was removed meanwhile, since it was empty
    try:
        folder = os.open(target.parent, os.O_RDONLY)
    except FileNotFoundError:  # it was removed again, and its folder with it
        return True
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
