"""One installation under one home: who is up, and where."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

State = Literal["starting", "up", "stopping"]


class Up(BaseModel):
    """An installation that is up or about to be, or was when its machine or process ended.

    Attributes:
        state: How far it is.
        process: Id of the process that keeps it.
        prefect: Address of Prefect's server.
        mlflow: Address of MLflow's server.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State
    process: int
    prefect: str
    mlflow: str


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process alone may keep the installation from here on; the system lets go of it if it ends."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def noted(folder: Path) -> Up | None:
    """What was noted last, if it was not struck out since."""
    try:
        return Up.model_validate(json.loads(_note(folder).read_text()))
    except (OSError, ValueError, ValidationError):
        return None


def note(folder: Path, up: Up) -> None:
    """Notes what is up, and how far it is."""
    new = _note(folder).with_suffix(".new")
    new.write_text(up.model_dump_json())
    new.replace(_note(folder))


def strike_out(folder: Path) -> None:
    """Notes that nothing is up."""
    _note(folder).unlink(missing_ok=True)


def _note(folder: Path) -> Path:
    return folder / "up.json"
