"""What a store holds, and what of it ledgers, registered versions and recent runs reach -> what may go.

Everything in the store is named by a digest, and whatever refers to it quotes that digest. So what a manifest, an entry
of a ledger, a lineage record or a version reaches is what its text quotes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from tasks.store.protocol import KEY, Stored
from tasks.usage import used_since
from tasks.vault import Manifest, unseal

#: Folders of the store from which something may go. Ledgers, claims, promotions and what `watch` noted always stay.
KINDS = ("checkpoints", "variants", "captures", "patches", "corpora", "values", "stages", "used", "quarantine")

#: What a rejected run leaves behind that is large: evidence for the verdict stays, weights need not.
WEIGHTS = frozenset({"checkpoints", "variants", "patches"})

#: Why something stays.
Why = Literal["ledger", "registry", "recent", "young"]

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
#: How lorp names what it writes; others' files may lie in folders of the same names.
_MADE = re.compile(
    r"""(values|corpora)/[0-9a-f]{64}\.\w+
    |(checkpoints|variants|patches)/[0-9a-f]{64}/.+
    |captures/[^/]+-[0-9a-f]{64}/[0-9a-f]{64}\.parquet
    |stages/[^/]+-[0-9a-f]{64}\.json
    |used/[^/]+-[0-9a-f]{64}/\d{4}-\d{2}-\d{2}
    |quarantine/[0-9a-f]{32}/[^/]+""",
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A stage's manifest as it lies in the store.

    Attributes:
        manifest: The manifest.
        names: All digests that it quotes: its own key, outputs, inputs.
    """

    manifest: Manifest
    names: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What the store holds.

    Attributes:
        stored: Objects of all kinds, by key.
        known: Sound manifests, by their key in the store.
    """

    stored: Mapping[str, Stored]
    known: Mapping[str, Known]

    def recent(self, before: datetime) -> list[Known]:
        """Manifests of stages that were made or used since."""
        used = used_since(self.stored, before.date())
        return [known for key, known in self.known.items() if self._is_recent(key, known, used, before)]

    def _is_recent(self, key: str, known: Known, used: set[str], before: datetime) -> bool:
        manifest = known.manifest
        made = datetime.fromisoformat(manifest.created) >= before
        return made or manifest.key in used or self.stored[key].changed >= before.timestamp()


@dataclass(frozen=True, kw_only=True)
class Root:
    """Something that has to stay, with all that it names.

    Attributes:
        why: What it is.
        names: The digests that it quotes.
        without: Folders of the store in which it keeps nothing, nor the manifests that name something there.
    """

    why: Why
    names: frozenset[str]
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What stays and what may go.

    Attributes:
        before: What was made, used and changed before may go.
        kept: Why each object stays, by key.
        doomed: What may go, by key.
        stored: Everything, by key.
    """

    before: datetime
    kept: Mapping[str, Why]
    doomed: Mapping[str, Stored]
    stored: Mapping[str, Stored]


def read_manifest(data: bytes) -> Known | None:
    """A manifest from its stored bytes; None if its seal is broken, so that it is never used again."""
    manifest = unseal(data)
    return Known(manifest=manifest, names=digests_in(data)) if manifest else None


def digests_in(data: bytes) -> frozenset[str]:
    """All digests that a text quotes."""
    return frozenset(_DIGEST.findall(data.decode(errors="replace")))


def own_digest(key: str) -> str | None:
    """The digest that an object, or the folder that it is of, goes by; a manifest's is that of the stage's inputs."""
    kind, _, rest = key.partition("/")
    found = _DIGEST.search(rest.rpartition("/")[2] if kind == "captures" else rest.partition("/")[0])
    return found[0] if found else None


def plan(inventory: Inventory, roots: Sequence[Root], before: datetime) -> Plan:
    """Divides what is stored.

    Args:
        inventory: What is stored.
        roots: What has to stay; of several reasons for one object the first is told.
        before: What was made, used and changed before may go.
    """
    kept: dict[str, Why] = {}
    for root in roots:
        kept |= {key: root.why for key in _kept_by(inventory, root) if key not in kept}
    kept |= {key: "young" for key in _young(inventory.stored, before) if key not in kept}
    doomed = {key: stored for key, stored in inventory.stored.items() if key not in kept and _is_ours(key)}
    return Plan(before=before, kept=kept, doomed=doomed, stored=inventory.stored)


def _kept_by(inventory: Inventory, root: Root) -> Iterator[str]:
    for key in _reached(inventory, root.names):
        known = inventory.known.get(key)
        objects = (key, *(made.key for made in known.manifest.outputs.values())) if known else (key,)
        if not any(_kind(each) in root.without for each in objects):
            yield key


def _reached(inventory: Inventory, names: frozenset[str]) -> Iterator[str]:
    """Keys of what is named, and of what manifests name that are themselves named, and so on."""
    named, left = set(names), dict(inventory.known)
    while found := [key for key in left if own_digest(key) in named]:
        named.update(*(left.pop(key).names for key in found))
    return (key for key in inventory.stored if own_digest(key) in named and _kind(key) not in ("used", "quarantine"))


def _young(stored: Mapping[str, Stored], before: datetime) -> Iterator[str]:
    """Keys of what was changed since; traces go by the day that they name, what is in quarantine by its note too."""
    used = {key for key in stored if _kind(key) == "used"}
    lately = {key for key, found in stored.items() if found.changed >= before.timestamp()} - used
    cases = {_case(key) for key in lately if _kind(key) == "quarantine"}
    yield from lately
    yield from (key for key in stored if _kind(key) == "quarantine" and _case(key) in cases)
    yield from (key for key in used if used_since([key], before.date()))


def _is_ours(key: str) -> bool:
    return bool(KEY.fullmatch(key) and _MADE.fullmatch(key))


def _kind(key: str) -> str:
    return key.partition("/")[0]


def _case(key: str) -> str:
    return key.split("/")[1]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many objects, and their bytes."""

    objects: int = 0
    bytes: int = 0


def tally(stored: Iterable[Stored]) -> Tally:
    """Counts."""
    sizes = [each.bytes for each in stored]
    return Tally(objects=len(sizes), bytes=sum(sizes))


def oldest_kept(now: datetime, keep_days: int) -> datetime:
    """Since when everything stays: use is noted by the day, so a day more than is asked for."""
    return now.astimezone(UTC) - timedelta(days=keep_days + 1)
