"""Ledgers, registry and recent runs -> what has to stay in a store.

Lineage records are read as they lie there: one that is broken stops everything, and stays where it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lorp.digest import canonical_json, digest_bytes
from lorp.errors import IntegrityError, SpecError
from lorp.ledger import Change
from lorp.lineage import read_statement
from tasks.keeping import WEIGHTS, Inventory, Known, Root, digests_in
from tasks.ledger import names, read_ledger
from tasks.tracking import VersionInRegistry, versions
from tasks.vault import Vault
from tasks.workspace import Workspace

_NOTHING: frozenset[str] = frozenset()


def find_roots(places: Workspace, vault: Vault, inventory: Inventory, before: datetime) -> list[Root]:
    """What ledgers, registered versions, and runs since a time name.

    Raises:
        SpecError: The registry is not the one that the store's versions were registered with.
        RegistryError: It cannot be asked.
        IntegrityError: A ledger, or a lineage record that is named, cannot be read.
        OutageError: The store does not answer.
    """
    changes = {name: [entry.change for entry in read_ledger(vault, name)] for name in names(vault)}
    registered = versions(places)
    _check_belongs(places, changes, registered)
    finder = _Finder(vault=vault, inventory=inventory)
    return [
        Root(why="ledger", names=_NOTHING.union(*finder.of_ledgers(changes, rejected=False))),
        Root(why="ledger", names=_NOTHING.union(*finder.of_ledgers(changes, rejected=True)), without=WEIGHTS),
        Root(why="registry", names=_NOTHING.union(*finder.of_registrations(), *finder.of_registry(registered))),
        Root(why="recent", names=_NOTHING.union(*map(finder.of_stage, inventory.recent(before)))),
    ]


def _check_belongs(
    places: Workspace, changes: Mapping[str, Sequence[Change]], registered: Sequence[VersionInRegistry]
) -> None:
    entries = [(name, change) for name, entered in changes.items() for change in entered]
    ours = {(name, change.version, change.verdict) for name, change in entries if change.version is not None}
    theirs = {(version.name, version.version, version.tags["lorp.verdict"]) for version in registered}
    if ours and not ours & theirs:
        raise SpecError(
            f"the registry {places.tracking_uri} has none of the versions in the ledgers of this store",
            "Look at --tracking-uri and --store: they must be those that versions are registered with",
        )


@dataclass(frozen=True, kw_only=True)
class _Finder:
    """Finds what is named.

    Attributes:
        vault: The store.
        inventory: What it holds.
        read: Digests in the lineage records that have been read.
    """

    vault: Vault
    inventory: Inventory
    read: dict[str, frozenset[str]] = field(default_factory=dict)

    def of_ledgers(self, changes: Mapping[str, Sequence[Change]], rejected: bool) -> Iterator[frozenset[str]]:
        """What entries about rejections, or all others, name, and what the lineage records do that they name."""
        makers = {_lineage_made(known): known for known in self._registrations()}
        for name, entered in changes.items():
            for change in (change for change in entered if (change.version is None) == rejected):
                maker = makers.get(change.lineage)
                yield frozenset(filter(None, (change.variant, change.lineage, change.decision)))
                yield maker.names if maker else _NOTHING
                yield self._record(change.lineage, name)

    def of_registrations(self) -> Iterator[frozenset[str]]:
        """Versions that a ledger may lack, in whichever registry: by what the store has of their registration."""
        for known in self._registrations():
            if known.manifest.inputs["model_version"] is not None:
                yield self.of_stage(known)

    def of_registry(self, registered: Iterable[VersionInRegistry]) -> Iterator[frozenset[str]]:
        """Versions of which the store has not even that: by their tags, and what made what these name."""
        makers = {_registered_by(known) for known in self._registrations()}
        for version in registered:
            tagged = digests_in(canonical_json(version.tags))
            yield tagged
            if (version.name, version.version, version.run_id) not in makers:
                yield from (known.names for known in self.inventory.known.values() if _made(known) & tagged)

    def of_stage(self, known: Known) -> frozenset[str]:
        """What a stage's manifest names, and the lineage record if it has made one."""
        lineage = _lineage_made(known)
        return known.names | (self._record(lineage, known.manifest.inputs["name"]) if lineage else _NOTHING)

    def _registrations(self) -> list[Known]:
        return [known for known in self.inventory.known.values() if _lineage_made(known)]

    def _record(self, sha256: str, name: str) -> frozenset[str]:
        if sha256 not in self.read:
            self.read[sha256] = _read_record(self.vault, sha256, name)
        return self.read[sha256]


def _read_record(vault: Vault, sha256: str, name: str) -> frozenset[str]:
    try:
        data = vault.store.read(f"values/{sha256}.json")
        if digest_bytes(data) != sha256:
            raise IntegrityError("its bytes have changed", "Bring it back")
        read_statement(data)
    except IntegrityError as fault:
        raise IntegrityError(
            f"a lineage record of {name} cannot be read, and so nothing is removed: {fault.reason}",
            "Bring it back from a copy of the store",
        ) from None
    return digests_in(data)


def _lineage_made(known: Known) -> str | None:
    made = known.manifest.outputs.get("lineage")
    return made.sha256 if made else None


def _registered_by(known: Known) -> tuple[str, int | None, str]:
    inputs = known.manifest.inputs
    return (inputs["name"], inputs["model_version"], inputs["tracking_run"])


def _made(known: Known) -> frozenset[str]:
    return frozenset(reference.sha256 for reference in known.manifest.outputs.values())
