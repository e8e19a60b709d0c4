"""Notes of uploads in parts, in folders for work in progress: who is killed or cut off leaves what it had begun."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.scratch import scratch_folder

_NOTE = "upload.json"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What a process has begun to send.

    Attributes:
        name: Of the object, in the bucket.
        ids: Of the uploads that S3 has answered for.
        folder: Where that is noted.
    """

    name: str
    ids: tuple[str, ...]
    folder: Path

    def note(self, upload_id: str) -> None:
        """Adds one to the note."""
        self._write([*_content(self.folder)["ids"], upload_id])

    def strike(self, upload_id: str) -> None:
        """Takes one off the note that is finished or ended."""
        self._write([one for one in _content(self.folder)["ids"] if one != upload_id])

    def forget(self) -> None:
        """Removes the note if none is on it."""
        if not _content(self.folder)["ids"]:
            (self.folder / _NOTE).unlink()

    def _write(self, ids: list[str]) -> None:
        content = {"name": self.name, "ids": ids}
        (self.folder / f"new-{_NOTE}").write_text(json.dumps(content))
        (self.folder / f"new-{_NOTE}").replace(self.folder / _NOTE)


@contextmanager
def noted(scratch: Path, name: str) -> Iterator[Begun]:
    """A note that lasts until it is forgotten: what could not be ended is left to who opens the store next."""
    with scratch_folder(scratch, stays=is_noted) as folder:
        (folder / _NOTE).write_text(json.dumps({"name": name, "ids": []}))
        yield Begun(name=name, ids=(), folder=folder)


def is_noted(folder: Path) -> bool:
    """Whether a folder is of an upload."""
    return (folder / _NOTE).exists()


def begun(folder: Path) -> Begun | None:
    """What is noted in a folder; None if nothing is that can be read."""
    try:
        content = _content(folder)
        return Begun(name=str(content["name"]), ids=tuple(map(str, content["ids"])), folder=folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _content(folder: Path) -> dict[str, list[str]]:
    content: dict[str, list[str]] = json.loads((folder / _NOTE).read_text())
    return content
