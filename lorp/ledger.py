"""One model name's history: entries chained by digest, written once each, and what follows from them.

An entry's bytes are canonical JSON that holds the entry and a seal, the sha256 of the entry's own: so a byte that has
changed is found in the last one too. The next entry holds the sha256 of those bytes: to change, drop or insert one, all
that come after it would have to be written anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from lorp.digest import canonical_json, digest_bytes, digest_value
from lorp.errors import IntegrityError
from lorp.values import decode

SCHEMA = "lorp.ledger/2"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

#: The gate refused a variant; a version came into being; an alias was moved to it, forwards or back.
Act = Literal["rejected", "registered", "promoted", "rolled-back"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an entry records.

    Attributes:
        act: What was done.
        version: Of the registered model; None for a rejection.
        variant: Digest of its files.
        verdict: Id of the verdict on it.
        lineage: sha256 of the lineage record of the run that made it.
        alias: Which alias was moved, if one was.
        decision: sha256 of the stored decision on which a promotion rests; None where there was none to make.
        asked_by: Who asked, as they said themselves: nothing here proves it.
        reason: Why, in their words; may be empty.
        flow_run: Id of the flow run that did it.
        time: When, UTC, ISO 8601.
    """

    act: Act
    version: int | None
    variant: Sha256
    verdict: Sha256
    lineage: Sha256
    alias: str | None = None
    decision: Sha256 | None = None
    asked_by: str = ""
    reason: str = ""
    flow_run: str
    time: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A change and its place.

    Attributes:
        schema: Of this record.
        name: The registered model.
        sequence: From 1, without a gap.
        before: sha256 of the entry before; None for the first.
        change: What was done.
    """

    schema: str = SCHEMA
    name: str
    sequence: int
    before: str | None
    change: Change

    @property
    def data(self) -> bytes:
        """What is stored."""
        body = asdict(self)
        return canonical_json({"entry": body, "sha256": digest_value(body)})

    @property
    def sha256(self) -> str:
        """What the next entry names."""
        return digest_bytes(self.data)


def next_entry(name: str, entries: Sequence[Entry], change: Change) -> Entry:
    """The entry that a change would have after these."""
    last = entries[-1] if entries else None
    return Entry(
        name=name,
        sequence=last.sequence + 1 if last else 1,
        before=last.sha256 if last else None,
        change=change,
    )


def read_chain(name: str, stored: Mapping[int, bytes]) -> tuple[Entry, ...]:
    """Entries from their bytes by sequence, every one in its place.

    Raises:
        IntegrityError: One is missing, is no entry of this name, or does not name the one before it.
    """
    return tuple(_linked(name, stored))


def _linked(name: str, stored: Mapping[int, bytes]) -> Iterator[Entry]:
    before: str | None = None
    for place, (sequence, data) in enumerate(sorted(stored.items()), start=1):
        where = f"entry {place} of the ledger of {name}"
        if sequence != place:
            raise IntegrityError(f"{where} is missing", "Bring it back from a copy of the store")
        entry = _entry(where, data)
        if (entry.schema, entry.name, entry.sequence, entry.before) != (SCHEMA, name, place, before):
            raise _broken(f"{where} is not the one that belongs there")
        before = digest_bytes(data)
        yield entry


@dataclass(frozen=True, kw_only=True)
class _Sealed:
    entry: Entry
    sha256: str


def _entry(where: str, data: bytes) -> Entry:
    try:
        entry = decode(_Sealed, data).entry
    except IntegrityError as fault:
        raise _broken(f"{where} cannot be read: {fault.reason}") from None
    if entry.data != data:
        raise _broken(f"{where} is not as it was written")
    return entry


def _broken(reason: str) -> IntegrityError:
    return IntegrityError(reason, "Trust none that come after it, and compare with a copy of the store")


@dataclass(frozen=True)
class Standing:
    """What follows from a ledger.

    Attributes:
        versions: The registration of each version.
        rejections: By the lineage record of the run whose variant was refused.
        held: By alias, the versions through which rolling back would go, today's last.
    """

    versions: dict[int, Change] = field(default_factory=dict)
    rejections: dict[Sha256, Change] = field(default_factory=dict)
    held: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def now(self, alias: str) -> int | None:
        """The version an alias stands for, if any."""
        held = self.held.get(alias, ())
        return held[-1] if held else None

    def before(self, alias: str) -> int | None:
        """The version that rolling back would return to, if any."""
        held = self.held.get(alias, ())
        return held[-2] if len(held) > 1 else None


def last_move(entries: Sequence[Entry], alias: str) -> Entry | None:
    """The entry that moved an alias to where it is."""
    return next((entry for entry in reversed(entries) if entry.change.alias == alias), None)


def standing(entries: Sequence[Entry]) -> Standing:
    """Plays a ledger back.

    A promotion puts a version on top of those that held the alias before; rolling back takes away those above the
    version returned to. So rolling back twice goes back twice, and does not return.
    """
    found = Standing()
    for change in (entry.change for entry in entries):
        if change.version is None:
            found.rejections.setdefault(change.lineage, change)
        elif change.act == "registered":
            found.versions.setdefault(change.version, change)
        elif change.alias:
            held = found.held.get(change.alias, ())
            found.held[change.alias] = (*_below(held, change), change.version)
    return found


def _below(held: tuple[int, ...], change: Change) -> tuple[int, ...]:
    """What stays under the version that an alias is moved to."""
    if change.act == "rolled-back" and change.version in held:
        return held[: _last(held, change.version)]
    return held[:-1] if held and held[-1] == change.version else held


def _last(held: tuple[int, ...], version: int) -> int:
    return len(held) - 1 - held[::-1].index(version)
