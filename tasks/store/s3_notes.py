"""Notes of uploads in parts, in folders for work in progress: what a killed process leaves says what it had begun."""

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
        content = {"name": self.name, "ids": [*_content(self.folder)["ids"], upload_id]}
        (self.folder / f"new-{_NOTE}").write_text(json.dumps(content))
        (self.folder / f"new-{_NOTE}").replace(self.folder / _NOTE)


@contextmanager
def noted(scratch: Path, name: str) -> Iterator[Begun]:
    """A note that lasts as long as the upload does."""
    with scratch_folder(scratch) as folder:
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
