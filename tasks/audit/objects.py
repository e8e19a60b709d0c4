"""Objects of a store, read for an audit: each once, none moved, none kept but what is small and asked for again."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count

from lorp.digest import digest_bytes, digest_listing
from lorp.errors import IntegrityError
from tasks.audit.findings import Fault
from tasks.store import ObjectStore
from tasks.store.protocol import KEY, Stored
from tasks.vault import Manifest, Reference, unseal

#: Values that are not kept, and how much is kept in all; what is larger than the last is not read into memory.
_KEPT_BYTES, _KEPT_IN_ALL, _MOST_BYTES = 1 << 25, 1 << 28, 1 << 31
_THREADS = 4


@dataclass
class Objects:
    """Reads and remembers.

    Attributes:
        store: Where they are.
        digests: sha256 by key of all that has been read; None for what is gone, or is no object.
        num_bytes: Bytes read so far.
    """

    store: ObjectStore
    digests: dict[str, str | None] = field(default_factory=dict)
    num_bytes: int = 0
    _kept: dict[str, bytes] = field(default_factory=dict)
    _num_kept: int = 0
    _manifests: dict[str, Manifest | Fault] = field(default_factory=dict)
    _listed: dict[str, dict[str, Stored]] = field(default_factory=dict)
    _by_folder: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _found: dict[tuple[str, ...], Fault | None] = field(default_factory=dict)

    def raw(self, key: str, keep: bool = True) -> bytes | None:
        """An object's bytes, whatever they are; None if there is none, or none that fits into memory.

        Args:
            key: Its key.
            keep: Whether they will be asked for again.
        """
        if key in self._kept:
            return self._kept[key]
        data = self._read(key)
        self.digests[key] = digest_bytes(data) if data is not None else None
        self.num_bytes += len(data or b"")
        if keep and data is not None and self._fits(data):
            self._kept[key] = data
            self._num_kept += len(data)
        return data

    def read(self, key: str, sha256: str, keep: bool = True) -> bytes | None:
        """An object's bytes if they are what this digest says."""
        data = self.raw(key, keep)
        return None if self.fault(key, sha256) else data

    def fault(self, key: str, sha256: str) -> Fault | None:
        """What is wrong with an object that has been read."""
        if self.digests[key] is None:
            return Fault(object=key, reason="it is gone")
        return None if self.digests[key] == sha256 else Fault(object=key, reason=f"its sha256 is not {sha256}")

    def manifest(self, key: str) -> Manifest | Fault:
        """A stage's manifest as it lies in the store, or what is wrong with it."""
        if key not in self._manifests:
            self._manifests[key] = self._read_manifest(key)
        return self._manifests[key]

    def check(self, wanted: Iterable[tuple[str, str]]) -> list[Fault]:
        """Holds objects against their digests, several at once; those that were read before are not read again.

        Args:
            wanted: Key and sha256 of each.
        """
        asked = list(wanted)
        new = [key for key in dict.fromkeys(key for key, _ in asked) if key not in self.digests]
        with ThreadPoolExecutor(max(1, min(_THREADS, cpu_count() or 1))) as pool:
            self.digests.update(zip(new, pool.map(self._digest, new), strict=True))
        self.num_bytes += sum(self._bytes(key) or 0 for key in new if self.digests[key])
        return [fault for key, sha256 in asked if (fault := self.fault(key, sha256))]

    def check_folder(self, reference: Reference) -> list[Fault]:
        """What is wrong with a folder: its files, those that do not belong there included, and the digest over them."""
        expected = {key for key, _ in reference.objects()}
        extra = [key for key in self.listed(reference.key) if key not in expected]
        faults = self.check(reference.objects())
        faults += [Fault(object=key, reason="it does not belong there") for key in extra]
        named = reference.key.rpartition("/")[2]
        if not digest_listing(reference.files) == reference.sha256 == named:
            faults.append(Fault(object=reference.key, reason="its files are not those that its name is the digest of"))
        return faults

    def listed(self, folder: str) -> dict[str, Stored]:
        """What lies in a folder of the store."""
        if folder not in self._listed:
            self._listed[folder] = self.store.listing(folder) if KEY.fullmatch(folder) else {}
        return self._listed[folder]

    def below(self, folder: str) -> list[str]:
        """Keys in a folder of a kind of which there are many, each of its own name: the whole kind is listed once."""
        kind = folder.partition("/")[0]
        if kind not in self._by_folder:
            keys = self._by_folder[kind] = defaultdict(list)
            for key in self.listed(kind):
                keys[key.rpartition("/")[0]].append(key)
        return self._by_folder[kind].get(folder, [])

    def once(self, name: tuple[str, ...], look: Callable[[], Fault | None]) -> Fault | None:
        """What was found the first time that something of this name was looked at."""
        if name not in self._found:
            self._found[name] = look()
        return self._found[name]

    def _read(self, key: str) -> bytes | None:
        size = self._bytes(key)
        if size is None or size > _MOST_BYTES:
            return None
        try:
            return self.store.read(key)
        except IntegrityError:
            return None

    def _read_manifest(self, key: str) -> Manifest | Fault:
        name = f"stages/{key}.json"
        data = self.raw(name, keep=False)
        if data is None:
            return Fault(object=name, reason="it is gone")
        found = unseal(data)
        if found is None or found.key != key:
            return Fault(object=name, reason="its seal is broken")
        return found

    def _fits(self, data: bytes) -> bool:
        return len(data) <= _KEPT_BYTES and self._num_kept + len(data) <= _KEPT_IN_ALL

    def _bytes(self, key: str) -> int | None:
        """Its size by the listing; None if it is not listed, or no key."""
        stored = self.listed(key.rpartition("/")[0]).get(key) if KEY.fullmatch(key) else None
        return stored.bytes if stored else None

    def _digest(self, key: str) -> str | None:
        if self._bytes(key) is None:
            return None
        try:
            return self.store.fresh_digest(key)
        except IntegrityError:
            return None
