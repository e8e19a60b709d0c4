"""Local copies of a bucket's objects, kept under home from one run to the next.

A copy is used only while it is what the bucket holds: its note says of which state of the object it is and what its
sha256 was when it came; once a process it is read and compared, and again whenever the file was touched since. Anything
else is downloaded anew. So the folder may be deleted at any time when no run is going on.
"""

import json
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorp.digest import canonical_json, digest_file
from lorp.disk import check_room, full_told
from tasks.scratch import scratch_folder, sweep
from tasks.store.protocol import KEY
from tasks.store.s3_notes import is_noted


@dataclass(frozen=True, kw_only=True)
class ObjectState:
    """What identifies an object's content in a bucket.

    Attributes:
        etag: S3's word for the content.
        bytes: Its size.
        modified: When it was written, in whole seconds since the epoch: answers and listings round alike.
    """

    etag: str
    bytes: int
    modified: int

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "ObjectState":
        """From a HEAD's or GET's answer, or an entry of a listing."""
        size = answer["ContentLength"] if "ContentLength" in answer else answer["Size"]
        return cls(etag=answer["ETag"].strip('"'), bytes=size, modified=int(answer["LastModified"].timestamp()))


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A local copy: the object's state when it came, and its sha256."""

    state: ObjectState
    sha256: str


#: Downloads a key to a path, and says what came.
Download = Callable[[str, Path], Copy]


class LocalCopies:
    """The copies of one store below a folder.

    Attributes:
        scratch: Folder for work in progress, on the same file system.
    """

    def __init__(self, root: Path, download: Download) -> None:
        """Makes the folder.

        Raises:
            OSError: It cannot be made or written.
        """
        self.scratch = root / ".scratch"
        self._objects, self._notes = root / "objects", root / "notes"
        self._download = download
        self._checked: dict[str, tuple[Copy, tuple[int, ...]]] = {}
        sweep(self.scratch, lambda folder: not is_noted(folder))

    def path(self, key: str) -> Path:
        """Where a key's copy lies, if there is one."""
        return self._objects / key

    def copy(self, key: str, state: ObjectState) -> Copy:
        """Makes sure that the copy is what the bucket holds.

        Raises:
            SpaceError: The disk has no room for it.
        """
        checked = self._checked.get(key)
        if checked and checked[0].state == state and checked[1] == _times(self.path(key)):
            return checked[0]
        noted = self._noted(key)
        if noted and noted.state == state and self._is_whole(key, noted):
            return noted
        check_room(self.scratch, state.bytes)
        with full_told(self.scratch), scratch_folder(self.scratch) as folder:
            came = self._download(key, folder / "object")
            self.adopt(key, folder / "object", came)
        return came

    def folder(self, key: str, states: dict[str, ObjectState]) -> Path:
        """Makes sure that a folder holds copies of these keys and nothing else. Raises as `copy` does."""
        wanted = {member: state for member, state in states.items() if KEY.fullmatch(member)}
        for path in sorted(self.path(key).rglob("*")):
            if not path.is_dir() and str(path.relative_to(self._objects)) not in wanted:
                path.unlink(missing_ok=True)
        check_room(self.scratch, sum(state.bytes for member, state in wanted.items() if not _times(self.path(member))))
        for member, state in wanted.items():
            self.copy(member, state)
        return self.path(key)

    def adopt(self, key: str, source: Path, copy: Copy) -> None:
        """Takes a scratch file over as the copy of a key."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        source.replace(path)
        self._write_note(key, copy)
        self._checked[key] = (copy, _times(path))

    def _is_whole(self, key: str, noted: Copy) -> bool:
        path = self.path(key)
        times = _times(path)
        if not times or digest_file(path) != noted.sha256:
            return False
        self._checked[key] = (noted, times)
        return True

    def _note(self, key: str) -> Path:
        return self._notes / f"{key}.json"

    def _noted(self, key: str) -> Copy | None:
        try:
            value = json.loads(self._note(key).read_bytes())
            return Copy(state=ObjectState(**value["state"]), sha256=value["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_note(self, key: str, copy: Copy) -> None:
        note = self._note(key)
        note.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(self.scratch) as folder:
            (folder / "note").write_bytes(canonical_json(asdict(copy)))
            (folder / "note").replace(note)


def _times(path: Path) -> tuple[int, ...]:
    """Inode, size and times of a plain file: any write changes the last. Empty for anything else."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    if not stat.S_ISREG(found.st_mode):
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
