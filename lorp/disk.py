"""Room on a disk: asked for before much is written, and told in one line where it has run out."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lorp.errors import SpaceError

#: A disk, a quota, or a limit of the process on files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: As libraries that are not written in Python say it, and SQLite.
_SAID = ("No space left on device", "database or disk is full", "Disk quota exceeded", "File too large")
#: What file systems and small files beside the large ones take: a share of those, and so much at least, in bytes.
_MARGIN_SHARE, _MARGIN_BYTES = 0.02, 1 << 20
_GB = 1e9
_REMEDY = "Make room, or name another place with --store, LORP_HOME or TMPDIR, and run again"


def check_room(folder: Path, num_bytes: int) -> None:
    """Makes sure that so many bytes, and a little more, fit onto a folder's disk.

    Args:
        folder: Where they are to be written; it need not be there yet.
        num_bytes: How many.

    Raises:
        SpaceError: They do not.
    """
    needed = num_bytes + max(int(num_bytes * _MARGIN_SHARE), _MARGIN_BYTES)
    free = shutil.disk_usage(_there(folder)).free
    if free < needed:
        raise SpaceError(f"{_told(needed)} are needed in {folder}, and {_told(free)} are free", _REMEDY)


@contextmanager
def full_told(folder: Path | None = None) -> Iterator[None]:
    """Says in one line that a disk is full, whatever it is that runs into that meanwhile.

    Args:
        folder: Where is written, if that is known better than by the fault.

    Raises:
        SpaceError: It is.
    """
    try:
        yield
    except SpaceError:
        raise
    except Exception as fault:  # writers that are not Python's raise what they like
        found = space_fault(fault, folder)
        if found is None:
            raise
        raise found from None


def space_fault(fault: BaseException | None, folder: Path | None = None) -> SpaceError | None:
    """The word for a fault that is, or comes from, a full disk; None for any other."""
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno in _FULL:
            return _full(folder or fault.filename)
        if any(said in str(fault) for said in _SAID):
            return _full(folder)
        fault = fault.__cause__ or fault.__context__
    return None


def _full(place: object) -> SpaceError:
    return SpaceError(f"there is no room left at {place}" if place else "a disk that is written to is full", _REMEDY)


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _told(num_bytes: int) -> str:
    return f"{num_bytes / _GB:.1f} GB" if num_bytes >= _GB / 10 else f"{num_bytes / 1e6:.1f} MB"
