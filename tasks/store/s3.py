"""The object store in an S3 bucket, below a prefix, with local copies under home."""

import hashlib
import time
from collections.abc import Collection, Hashable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lorp.digest import digest_bytes, digest_file, digest_value
from lorp.errors import IntegrityError, OutageError, StoreError
from tasks.scratch import scratch_folder, sweep
from tasks.settings import settings
from tasks.store.protocol import KEY, Stored, check_key, missing
from tasks.store.s3_address import S3Address
from tasks.store.s3_bucket import Bucket
from tasks.store.s3_copies import Copy, LocalCopies, ObjectState
from tasks.store.s3_faults import Missing, Taken
from tasks.store.s3_notes import begun
from tasks.store.s3_upload import PART_BYTES, abort_stale, end_begun, upload
from tasks.workspace import HOME_VARIABLE, home

_OPENING_SECONDS = 10.0
_STALE_SECONDS = 24 * 60 * 60


class S3Store:
    """An object store in a bucket."""

    def __init__(self, place: str | S3Address, part_bytes: int = PART_BYTES) -> None:
        """Looks whether the bucket can be read.

        Args:
            place: `s3://bucket/prefix`, or where others keep files that are only read.
            part_bytes: Larger files are sent in parts.

        Raises:
            StoreError: It cannot be used.
            OutageError: It does not answer.
        """
        self._address = S3Address.parse(place) if isinstance(place, str) else place
        self._bucket = Bucket(self._address.bucket)
        self._part_bytes = part_bytes
        looked = {"seconds": _OPENING_SECONDS, "Prefix": self._address.name(""), "MaxKeys": 1}
        next(self._bucket.pages("list_objects_v2", "Contents", **looked), None)
        identity = [self._bucket.endpoint, self._address.bucket, self._address.prefix]
        root = home() / "cache" / "s3" / f"{self._address.bucket}-{digest_value(identity)[:16]}"
        try:
            self._copies = LocalCopies(root, self._download)
        except OSError as fault:
            raise StoreError(
                f"{root} cannot be written: {fault.strerror}", f"Set {HOME_VARIABLE} to another folder"
            ) from None

    def address(self, key: str) -> str:
        """Its `s3://` address."""
        return f"s3://{self._address.bucket}/{self._name(key)}"

    def create(self, key: str, source: bytes | Path, lock: bool = False) -> bool:
        """Uploads under the condition that there be nothing; what came from scratch is kept as the local copy."""
        sha256 = digest_file(source) if isinstance(source, Path) else digest_bytes(source)
        more = self._lock() if lock else {}
        if not upload(self._bucket, self._name(key), source, sha256, self._copies.scratch, self._part_bytes, more):
            return False
        if isinstance(source, Path) and source.is_relative_to(self._copies.scratch):
            state = self._state(key)
            if state:
                self._copies.adopt(key, source, Copy(state=state, sha256=sha256))
        return True

    def read(self, key: str) -> bytes:
        """The object's bytes as they are in the bucket."""
        try:
            return self._bucket.read(self._name(key))
        except Missing:
            raise missing(key) from None

    def read_all(self, prefix: str) -> dict[str, bytes]:
        """From local copies, of which only those that are missing are brought: one listing and no more."""
        states = self.states(f"{check_key(prefix)}/")
        read = {}
        for key in filter(KEY.fullmatch, states):
            with suppress(IntegrityError):
                read[key] = self._read_copy(key, states[key])
        return read

    def digest(self, key: str) -> str:
        """Of the local copy, once it is what the bucket holds."""
        state = self._state(key)
        if state is None:
            raise missing(key)
        return self._copies.copy(key, state).sha256

    def fresh_digest(self, key: str) -> str:
        """Of the bytes as they come from the bucket; none are kept."""

        def act() -> str:
            hasher = hashlib.sha256()
            self._bucket.download(self._name(key), hasher.update)
            return hasher.hexdigest()

        try:
            return self._bucket.attempt(act)
        except Missing:
            raise missing(key) from None

    def local(self, key: str) -> Path:
        """The local copy; a folder's has the same files as the bucket."""
        states = self.states(check_key(key))
        if key in states:
            self._copies.copy(key, states[key])
            return self._copies.path(key)
        members = {member: state for member, state in states.items() if member.startswith(f"{key}/")}
        if not members:
            raise missing(key)
        return self._copies.folder(key, members)

    def states(self, beginning: str = "") -> dict[str, ObjectState]:
        """State by key of the objects whose key begins so; what consoles make to show a folder is no object."""
        root = len(self._address.name(""))
        entries = self._bucket.pages("list_objects_v2", "Contents", Prefix=self._address.name(beginning))
        return {entry["Key"][root:]: ObjectState.of(entry) for entry in entries if not entry["Key"].endswith("/")}

    def sizes(self) -> dict[str, int]:
        """Bytes by name of every file that is there, whatever its name."""
        return {name: state.bytes for name, state in self.states().items()}

    def local_files(self, names: Collection[str]) -> Path:
        """A local copy of these files, and of no others.

        Raises:
            IntegrityError: One is not there.
        """
        states = self.states()
        for name in names:
            if name not in states:
                raise missing(name)
        return self._copies.folder("", {name: states[name] for name in names})

    def keys(self, prefix: str) -> list[str]:
        """From a listing."""
        return sorted(self.states(f"{check_key(prefix)}/"))

    def fingerprints(self, prefix: str) -> dict[str, Hashable]:
        """From a listing: one call for a whole folder."""
        return dict(sorted(self.states(f"{check_key(prefix)}/").items()))

    def listing(self, prefix: str) -> dict[str, Stored]:
        """From a listing too."""
        return {
            key: Stored(bytes=state.bytes, changed=state.modified, fingerprint=state)
            for key, state in sorted(self.states(f"{check_key(prefix)}/").items())
        }

    def fingerprint(self, key: str) -> Hashable | None:
        """ETag, size and time."""
        return self._state(key)

    def move(self, key: str, to: str, fingerprint: Hashable | None = None) -> None:
        """Copies, then deletes unless another object has come meanwhile."""
        name = self._address.name(key)
        known = fingerprint if isinstance(fingerprint, ObjectState) else self._state_at(name)
        if known is None:
            raise missing(key)
        try:
            self._bucket.copy(name, self._name(to), known.etag)
        except (Missing, Taken):
            raise missing(key) from None
        if self._state_at(name) == known:
            self._bucket.call("delete_object", Key=name)

    def remove(self, key: str, fingerprint: Hashable) -> bool:
        """Looks, then deletes under the condition that the content be the same, which not every server heeds."""
        state = self._state(key)
        if state is None or state != fingerprint:
            return False
        try:
            self._bucket.call("delete_object", Key=self._name(key), IfMatch=f'"{state.etag}"')
        except (Missing, Taken):
            return False
        return True

    def clock(self) -> float:
        """The server's, by the date of an answer; this machine's where it names none."""
        answer = self._bucket.call("list_objects_v2", Prefix=self._address.name(""), MaxKeys=1)
        said = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            return parsedate_to_datetime(said).timestamp()
        except ValueError:
            return time.time()

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder below the local copies."""
        return scratch_folder(self._copies.scratch)

    def prepare(self) -> None:
        """Ends uploads in parts: those that this machine's processes have left, and those given up long ago.

        The latter of this store only: in a bucket without a prefix they might be others', and are left to its
        lifecycle.
        """
        with suppress(OSError):  # the next to open it may
            sweep(self._copies.scratch, self._end_uploads)
        if not self._address.prefix:
            return
        try:
            abort_stale(self._bucket, self._address.name(""), self.clock() - _STALE_SECONDS)
        except (StoreError, OutageError, Missing):
            return  # it may not be permitted, and nothing rests on it

    def _end_uploads(self, folder: Path) -> bool:
        """Whether nothing is left in the bucket of what is noted in a killed process's folder, as far as one may."""
        found = begun(folder)
        try:
            return not found or end_begun(self._bucket, found)
        except OutageError:
            return False
        except StoreError:
            return True  # it may not be permitted

    def _lock(self) -> dict[str, Any]:
        """What locks an object, for whoever has no right to lift that, in a bucket whose object lock is on."""
        if not self._locks:
            return {}
        until = datetime.now(UTC) + timedelta(days=settings().s3_lock_days)
        return {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}

    @cached_property
    def _locks(self) -> bool:
        try:
            found = self._bucket.call("get_object_lock_configuration")
        except (Missing, StoreError):  # servers without it, and those who may not ask
            return False
        return bool(found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")

    def _read_copy(self, key: str, state: ObjectState) -> bytes:
        self._copies.copy(key, state)
        try:
            return self._copies.path(key).read_bytes()
        except FileNotFoundError:  # another process has tidied up
            return self.read(key)

    def _name(self, key: str) -> str:
        return self._address.name(check_key(key))

    def _state(self, key: str) -> ObjectState | None:
        return self._state_at(self._name(key))

    def _state_at(self, name: str) -> ObjectState | None:
        try:
            return ObjectState.of(self._bucket.call("head_object", Key=name))
        except Missing:
            return None

    def _download(self, key: str, path: Path) -> Copy:
        def act() -> Copy:
            hasher = hashlib.sha256()
            with path.open("wb") as file:

                def write(piece: bytes) -> None:
                    file.write(piece)
                    hasher.update(piece)

                answer = self._bucket.download(self._name(key), write)
            return Copy(state=ObjectState.of(answer), sha256=hasher.hexdigest())

        try:
            return self._bucket.attempt(act)
        except Missing:
            raise missing(key) from None
