"""Objects of a store, read for an audit: each once, none moved, none kept but what is small and asked for again."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count

from lorp.digest import digest_bytes
from lorp.errors import IntegrityError
from tasks.audit.findings import Fault
from tasks.store import ObjectStore
from tasks.store.protocol import Stored
from tasks.vault import Manifest, Reference, unseal

#: What is larger is not kept in memory, nor more than so much in all.
_KEPT_BYTES, _KEPT_IN_ALL = 1 << 25, 1 << 28
_THREADS = 4


@dataclass
class Objects:
    """Reads and remembers.

    Attributes:
        store: Where they are.
        digests: sha256 by key of all that has been read; None for what is gone.
        num_bytes: Bytes read so far.
    """

    store: ObjectStore
    digests: dict[str, str | None] = field(default_factory=dict)
    num_bytes: int = 0
    _kept: dict[str, bytes] = field(default_factory=dict)
    _num_kept: int = 0
    _listed: dict[str, dict[str, Stored]] = field(default_factory=dict)
    _found: dict[tuple[str, ...], Fault | None] = field(default_factory=dict)

    def raw(self, key: str) -> bytes | None:
        """An object's bytes, whatever they are; None if there is none."""
        if key in self._kept:
            return self._kept[key]
        try:
            data = self.store.read(key)
        except IntegrityError:
            self.digests[key] = None
            return None
        self.digests[key] = digest_bytes(data)
        self.num_bytes += len(data)
        if len(data) <= _KEPT_BYTES and self._num_kept + len(data) <= _KEPT_IN_ALL:
            self._kept[key] = data
            self._num_kept += len(data)
        return data

    def read(self, key: str, sha256: str) -> bytes | None:
        """An object's bytes if they are what this digest says."""
        data = self.raw(key)
        return None if self.fault(key, sha256) else data

    def fault(self, key: str, sha256: str) -> Fault | None:
        """What is wrong with an object that has been read."""
        if self.digests[key] is None:
            return Fault(object=key, reason="it is gone")
        return None if self.digests[key] == sha256 else Fault(object=key, reason=f"its sha256 is not {sha256}")

    def manifest(self, key: str) -> Manifest | Fault:
        """A stage's manifest as it lies in the store, or what is wrong with it."""
        name = f"stages/{key}.json"
        data = self.raw(name)
        if data is None:
            return Fault(object=name, reason="it is gone")
        found = unseal(data)
        if found is None or found.key != key:
            return Fault(object=name, reason="its seal is broken")
        return found

    def check(self, wanted: Iterable[tuple[str, str]]) -> list[Fault]:
        """Holds objects against their digests, several at once; those that were read before are not read again.

        Args:
            wanted: Key and sha256 of each.
        """
        asked = list(wanted)
        new = [key for key in dict.fromkeys(key for key, _ in asked) if key not in self.digests]
        with ThreadPoolExecutor(max(1, min(_THREADS, cpu_count() or 1))) as pool:
            self.digests.update(zip(new, pool.map(self._digest, new), strict=True))
        self.num_bytes += sum(self._bytes(key) for key in new)
        return [fault for key, sha256 in asked if (fault := self.fault(key, sha256))]

    def check_folder(self, reference: Reference) -> list[Fault]:
        """What is wrong with a folder's files, those that do not belong there included."""
        expected = {key for key, _ in reference.objects()}
        extra = [key for key in self.listed(reference.key) if key not in expected]
        return self.check(reference.objects()) + [Fault(object=key, reason="it does not belong there") for key in extra]

    def listed(self, folder: str) -> dict[str, Stored]:
        """What lies in a folder of the store."""
        if folder not in self._listed:
            self._listed[folder] = self.store.listing(folder)
        return self._listed[folder]

    def once(self, name: tuple[str, ...], look: Callable[[], Fault | None]) -> Fault | None:
        """What was found the first time that something of this name was looked at."""
        if name not in self._found:
            self._found[name] = look()
        return self._found[name]

    def _bytes(self, key: str) -> int:
        stored = self.listed(key.rpartition("/")[0]).get(key)
        return stored.bytes if stored else 0

    def _digest(self, key: str) -> str | None:
        try:
            return self.store.fresh_digest(key)
        except IntegrityError:
            return None
