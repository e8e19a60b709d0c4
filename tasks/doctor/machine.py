"""Settings, home and disks of this machine -> what is the matter with them."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

from lorp.errors import StoreError
from tasks.doctor.check import Finding, fault, ok, warning
from tasks.store import store_folder
from tasks.workspace import HOME_VARIABLE, Workspace, home

_GIB = 1 << 30
_LOW_BYTES = 10 * _GIB


def look_at_settings(places: Callable[[], Workspace]) -> Iterator[Finding]:
    """Whether they can be read, and go together."""
    found = places()
    try:
        shared = store_folder(found.store) is None
    except StoreError:
        shared = True  # the store's own check says what is wrong
    elsewhere = _on_another_machine(found.tracking_uri)
    if elsewhere and not shared:
        yield warning(
            "settings",
            f"the registry is at {found.tracking_uri}, and the store in a folder that only this machine has",
            "Set LORP_STORE to s3://bucket/prefix if other machines are to use what is registered",
        )
    elif shared and found.tracking_uri.startswith("sqlite:"):
        yield warning(
            "settings",
            f"the store is {found.store}, and the registry a file that only this machine has",
            "Set MLFLOW_TRACKING_URI to a server if other machines are to see what is registered",
        )
    else:
        yield ok("settings", f"store {found.store}, registry {found.tracking_uri}")


def look_at_home() -> Iterator[Finding]:
    """Whether home can be written and has room."""
    try:
        write_beside(home())
    except OSError as error:
        what = f"{home()} cannot be written: {error.strerror}"
        yield fault("home", what, f"Set {HOME_VARIABLE} to another folder")
        return
    yield ok("home", f"{home()} can be written" if home().exists() else f"{home()} is made when it is first needed")
    yield free_space(home())


def write_beside(folder: Path) -> Path:
    """Tries to write where a folder is or would be made; leaves nothing. Returns where.

    Raises:
        OSError: It cannot be written.
    """
    place = existing(folder)
    with TemporaryFile(dir=place):
        return place


def existing(folder: Path) -> Path:
    """The folder, or else the nearest above it that is there."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))


def free_space(folder: Path) -> Finding:
    """Whether the disk of a folder has room for checkpoints and captures."""
    free = shutil.disk_usage(existing(folder)).free
    what = f"{free / _GIB:.1f} GiB are free at {folder}"
    if free >= _LOW_BYTES:
        return ok("disk", what)
    return warning("disk", f"only {what}", f"Make room, or move it with {HOME_VARIABLE} or LORP_STORE")


def _on_another_machine(uri: str) -> bool:
    host = urlsplit(uri).hostname
    return uri.startswith("http") and host not in ("localhost", "127.0.0.1", "::1", socket.gethostname())
