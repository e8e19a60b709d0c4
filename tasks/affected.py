"""A digest -> every run whose record names it, itself or through the variants of others, and where those are in use."""

import json
import re
from dataclasses import dataclass

from lorp.ledger import Change, standing
from tasks.audit.objects import Objects
from tasks.audit.targets import all_names
from tasks.ledger import read_ledger
from tasks.store import ObjectStore
from tasks.vault import Vault

#: Digests, and commits on the hub.
_DIGESTS = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A run that rests on something.

    Attributes:
        name: The registered model.
        version: Its version; None for a rejected variant.
        variant: Digest of its files.
        through: Digests of variants by which it rests on it, nearest first; empty where it does so itself.
        roles: What it is to the run, or to the first of those.
        aliases: Where it is in use.
    """

    name: str
    version: int | None
    variant: str
    through: tuple[str, ...]
    roles: tuple[str, ...]
    aliases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AffectedRuns:
    """What rests on something.

    Attributes:
        runs: Those whose records could be read.
        unreadable: Keys of records that are gone or have changed, so that nothing can be said of their runs.
    """

    runs: tuple[Affected, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    """A run's entry, its record's bytes and all digests in them, and the aliases that stand for it."""

    name: str
    change: Change
    data: bytes
    names: frozenset[str]
    aliases: tuple[str, ...]


def affected(store: ObjectStore, digest: str) -> AffectedRuns:
    """Runs that rest on something, themselves or through another's variant.

    Args:
        store: Where ledgers and records are.
        digest: sha256 of a checkpoint, of documents or of anything stored, or a commit on the hub.

    Raises:
        IntegrityError: A ledger cannot be read.
    """
    recorded, unreadable = _recorded(Objects(store))
    found: dict[str, Affected] = {}
    wanted: list[tuple[str, tuple[str, ...]]] = [(digest, ())]
    for sought, through in wanted:
        for one in recorded:
            itself = sought == one.change.variant and through
            if sought in one.names and not itself and one.change.lineage not in found:
                found[one.change.lineage] = _affected(one, sought, through)
                wanted.append((one.change.variant, (one.change.variant, *through)))
    return AffectedRuns(runs=tuple(found.values()), unreadable=unreadable)


def _recorded(objects: Objects) -> tuple[list[_Recorded], tuple[str, ...]]:
    found: list[_Recorded] = []
    unreadable: list[str] = []
    for name in all_names(objects):
        now = standing(read_ledger(Vault(objects.store), name))
        for change in (*now.versions.values(), *now.rejections.values()):
            key = f"values/{change.lineage}.json"
            data = objects.read(key, change.lineage)
            if data is None:
                unreadable.append(key)
                continue
            aliases = tuple(alias for alias, held in now.held.items() if held[-1] == change.version)
            names = frozenset(_DIGESTS.findall(data.decode(errors="replace")))
            found.append(_Recorded(name=name, change=change, data=data, names=names, aliases=aliases))
    return found, tuple(unreadable)


def _affected(one: _Recorded, digest: str, through: tuple[str, ...]) -> Affected:
    return Affected(
        name=one.name,
        version=one.change.version,
        variant=one.change.variant,
        through=through,
        roles=_roles(one, digest),
        aliases=one.aliases,
    )


def _roles(one: _Recorded, digest: str) -> tuple[str, ...]:
    """What a record calls the things of this digest; `named` where it only names it."""
    statement = json.loads(one.data)
    predicate = statement["predicate"]
    described = (
        *statement["subject"],
        *predicate["buildDefinition"]["resolvedDependencies"],
        *predicate["runDetails"]["byproducts"],
    )
    roles = ["variant"] if digest == one.change.variant else []
    roles += [each["name"] for each in described if digest in each.get("digest", {}).values()]
    return tuple(dict.fromkeys(roles)) or ("named",)
