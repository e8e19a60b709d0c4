"""Folders for work in progress, locked while their process lives: what a killed process leaves is swept away."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(parent: Path, stays: Callable[[Path], bool] = lambda _: False) -> Iterator[Path]:
    """A new folder below `parent`, gone at the end; locked, so that `sweep` leaves it alone.

    Args:
        parent: Where it is made.
        stays: Asked at the end: whether it is left to whoever sweeps next.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with locked(parent):
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        if not stays(folder):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path, may_go: Callable[[Path], bool] = lambda _: True) -> None:
    """Makes `parent` if needed, and removes the folders below it whose process has died.

    Args:
        parent: Where they are.
        may_go: Asked of each before it goes; nobody else sweeps meanwhile.

    Raises:
        OSError: It cannot be made or written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=parent), locked(parent):
        for folder in parent.iterdir():
            if folder.is_dir() and _abandoned(folder) and may_go(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:  # it has just gone, or is another user's
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes that ask for it out of a folder; ends with this one, however that ends."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
