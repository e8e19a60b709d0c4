"""What the store's bytes mean: content-addressed objects and folders, stage manifests, quarantine.

An object's key ends in its own sha256, a folder's in the digest over its files. A stage's manifest is its commit
point: it is written last, and only once, and names every output with digest and size. Nothing is used before its bytes
have been found to be what their digest says; what is not goes to `quarantine/` with a note, and its stage is redone.
"""

import json
import logging
import re
from collections.abc import Hashable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from lorp.digest import FileDigest, canonical_json, digest_bytes, digest_listing, digest_value, list_files
from lorp.errors import IntegrityError
from tasks.store import ObjectStore, open_store, store_to_read

LOGGER = logging.getLogger("lorp.store")
_ATTEMPTS = 10  # to write what is damaged again and again meanwhile


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Something stored.

    Attributes:
        key: Its key in the store.
        sha256: Of an object, of its bytes; of a folder, over its files.
        bytes: Its size.
        files: A folder's files; empty for an object.
    """

    key: str
    sha256: str
    bytes: int
    files: tuple[FileDigest, ...] = ()

    def objects(self) -> tuple[tuple[str, str], ...]:
        """Key and sha256 of every object it stands for."""
        if not self.files:
            return ((self.key, self.sha256),)
        return tuple((f"{self.key}/{file.name}", file.sha256) for file in self.files)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a stage made, from what.

    Attributes:
        stage: The stage's name.
        key: Its key: name, version and digest of inputs.
        inputs: Everything that determines the outputs.
        outputs: What it made, by role.
        versions: Of the software that made it.
        created: When, UTC, ISO 8601.
        seconds: How long it took.
    """

    stage: str
    key: str
    inputs: dict[str, Any]
    outputs: dict[str, Reference]
    versions: dict[str, str]
    created: str
    seconds: float


def vault_to_read(uri: str) -> "Vault | None":
    """The vault over a store for those who only look: nothing is made; None if there is no such folder.

    Raises:
        StoreError: The store cannot be used.
        OutageError: It does not answer.
    """
    store = store_to_read(uri)
    return Vault(store) if store else None


@lru_cache(maxsize=8)
def open_vault(uri: str) -> "Vault":
    """The vault over a store's address, one a process.

    Raises:
        StoreError: The store cannot be opened or written.
    """
    return Vault(open_store(uri))


class Vault:
    """Verified access to a store.

    Attributes:
        store: The store.
        noted: Keys of the traces of use that this process has left.
    """

    def __init__(self, store: ObjectStore, *, only_read: bool = False) -> None:
        """Over a store, in which nothing is moved if it is only read."""
        self.store = store
        self._only_read = only_read
        self.noted: set[str] = set()
        self._verified: dict[str, tuple[Hashable, str]] = {}

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for work in progress."""
        return self.store.scratch()

    def put(self, folder: str, data: bytes, suffix: str) -> Reference:
        """Stores bytes as `<folder>/<sha256><suffix>`."""
        reference = Reference(key=f"{folder}/{digest_bytes(data)}{suffix}", sha256=digest_bytes(data), bytes=len(data))
        self._create(reference.key, data, reference.sha256)
        return reference

    def put_folder(self, kind: str, folder: Path, names: Iterable[str]) -> Reference:
        """Stores the named files of a scratch folder as `<kind>/<digest>/`, taking them over."""
        files = list_files(folder, names)
        digest = digest_listing(files)
        for file in files:
            self._create(f"{kind}/{digest}/{file.name}", folder / file.name, file.sha256)
        total = sum(file.bytes for file in files)
        return Reference(key=f"{kind}/{digest}", sha256=digest, bytes=total, files=files)

    def read(self, reference: Reference) -> bytes:
        """An object's bytes, verified.

        Raises:
            IntegrityError: It is gone, or its bytes have changed: then it is in quarantine.
        """
        data = self.store.read(reference.key)
        if digest_bytes(data) != reference.sha256:
            self._quarantine(reference.key, f"its sha256 is not {reference.sha256}")
            now = "" if self._only_read else " and is now in quarantine"
            raise IntegrityError(f"{reference.key} has changed{now}", "Run again to make it anew")
        return data

    def read_value(self, sha256: str) -> bytes:
        """A value's bytes by their digest alone. Raises as `read` does."""
        return self.read(Reference(key=f"values/{sha256}.json", sha256=sha256, bytes=0))

    def folder(self, reference: Reference) -> Path:
        """A folder on the local disk, every file verified.

        Raises:
            IntegrityError: A file is gone or has changed.
        """
        bad = self._bad_object(reference)
        if bad:
            raise IntegrityError(f"{bad} is gone or has changed", "Run again to make it anew")
        return self.store.local(reference.key)

    def result(self, key: str) -> Manifest | None:
        """A stage's manifest, if it is there and all that it names is intact."""
        manifest = self._manifest(key)
        if manifest is None:
            return None
        for reference in manifest.outputs.values():
            bad = self._bad_object(reference)
            if bad:
                self._quarantine(_manifest_key(key), f"{bad}, which it names, is gone or has changed")
                return None
        return manifest

    def holds(self, key: str) -> bool:
        """Whether a stage's manifest is there; nothing is verified."""
        return self.store.fingerprint(_manifest_key(key)) is not None

    def commit(self, manifest: Manifest) -> Manifest:
        """Writes a stage's manifest; returns the one that stands, should another have been first."""
        body = asdict(manifest)
        sealed = canonical_json({"manifest": body, "sha256": digest_value(body)})
        for _ in range(_ATTEMPTS):
            if self.store.create(_manifest_key(manifest.key), sealed):
                return manifest
            standing = self.result(manifest.key)
            if standing:
                return standing
        raise _stuck(_manifest_key(manifest.key))

    def _manifest(self, key: str) -> Manifest | None:
        name = _manifest_key(key)
        try:
            data = self.store.read(name)
        except IntegrityError:
            self._clear_unreadable(name)
            return None
        manifest = unseal(data)
        if manifest is None or manifest.key != key:
            self._quarantine(name, "its seal is broken")
            return None
        return manifest

    def _bad_object(self, reference: Reference) -> str | None:
        """Key of the first object that is gone or has changed; that goes to quarantine, and so does what was added."""
        if not reference.files:
            return None if self._intact(reference.key, reference.sha256) else reference.key
        expected = dict(reference.objects())
        found = self.store.fingerprints(reference.key)
        for key, fingerprint in found.items():
            if key not in expected:
                self._quarantine(key, "it does not belong there", fingerprint)
        for key, sha256 in expected.items():
            if not self._unchanged(key, found.get(key), sha256):
                return key
        return None

    def _intact(self, key: str, sha256: str) -> bool:
        return self._unchanged(key, self.store.fingerprint(key), sha256)

    def _unchanged(self, key: str, fingerprint: Hashable | None, sha256: str) -> bool:
        if fingerprint is None:
            LOGGER.warning("%s is gone: its stage is redone", key)
            return False
        if self._verified.get(key) == (fingerprint, sha256):
            return True
        if self._digest(key) != sha256:
            self._quarantine(key, f"its sha256 is not {sha256}", fingerprint)
            return False
        self._verified[key] = (fingerprint, sha256)
        return True

    def _create(self, key: str, source: bytes | Path, sha256: str) -> None:
        for _ in range(_ATTEMPTS):
            if self.store.create(key, source) or self._intact(key, sha256):
                return
        raise _stuck(key)

    def _digest(self, key: str) -> str | None:
        """None where no object can be read."""
        try:
            return self.store.digest(key)
        except IntegrityError:
            return None

    def _clear_unreadable(self, key: str) -> None:
        """Moves what has a key's name but is no object, such as a link that leads nowhere."""
        fingerprint = self.store.fingerprint(key)
        if fingerprint is not None and self._digest(key) is None:
            self._quarantine(key, "it is no regular file", fingerprint)

    def _quarantine(self, key: str, why: str, fingerprint: Hashable | None = None) -> None:
        """Moves what is at a key; nothing, if another run has done so already, or this one only reads."""
        if self._only_read:
            LOGGER.warning("%s is not what it was: %s", key, why)
            return
        name = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(key).name).lstrip(".-") or "unnamed"
        place = f"quarantine/{uuid4().hex}/{name}"
        try:
            self.store.move(key, place, fingerprint)
        except IntegrityError:
            return
        note = {"key": key, "reason": why, "found": datetime.now(UTC).isoformat(timespec="seconds")}
        self.store.create(f"{PurePosixPath(place).parent}/note.json", json.dumps(note, indent=2).encode())
        LOGGER.warning("%s was put into quarantine: %s", key, why)


def _stuck(key: str) -> IntegrityError:
    return IntegrityError(f"{key} is neither free nor readable", "Look at what lies there in the store")


def _manifest_key(key: str) -> str:
    return f"stages/{key}.json"


def unseal(data: bytes) -> Manifest | None:
    """A manifest from canonical bytes whose seal holds, else None; any changed byte breaks one or the other."""
    try:
        sealed = json.loads(data)
        if canonical_json(sealed) != data or sealed["sha256"] != digest_value(sealed["manifest"]):
            return None
        manifest: Manifest = _manifest_adapter().validate_python(sealed["manifest"])
        return manifest
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return None


@cache
def _manifest_adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)
