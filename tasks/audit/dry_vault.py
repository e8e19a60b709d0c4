"""A vault for who only looks."""

from pathlib import Path

from lorp.digest import digest_bytes
from lorp.errors import IntegrityError
from tasks.audit.objects import Objects
from tasks.vault import Manifest, Reference, Vault


class DryVault(Vault):
    """A vault whose objects are read for an audit, and which stores and moves nothing.

    Attributes:
        made: What would have been stored, by sha256.
    """

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects.store)
        self._objects = objects
        self.made: dict[str, bytes] = {}

    def read(self, reference: Reference) -> bytes:
        """An object's bytes.

        Raises:
            IntegrityError: It is gone or has changed; nothing is moved.
        """
        return self.read_once(reference, keep=True)

    def read_once(self, reference: Reference, keep: bool = False) -> bytes:
        """An object's bytes, of something that is asked for once and may be large. Raises as `read` does."""
        data = self._objects.read(reference.key, reference.sha256, keep)
        if data is None:
            raise IntegrityError(f"{reference.key} is gone or has changed", "Bring it back from a copy of the store")
        return data

    def put(self, folder: str, data: bytes, suffix: str) -> Reference:
        """Keeps what would have been stored."""
        sha256 = digest_bytes(data)
        self.made[sha256] = data
        return Reference(key=f"{folder}/{sha256}{suffix}", sha256=sha256, bytes=len(data))

    def folder(self, reference: Reference) -> Path:
        """There are none: what follows from values takes no folder."""
        raise NotImplementedError(reference.key)

    def result(self, key: str) -> Manifest | None:
        """Nothing is known: everything is made again."""
        raise NotImplementedError(key)

    def commit(self, manifest: Manifest) -> Manifest:
        """Nothing is written."""
        raise NotImplementedError(manifest.key)
