"""One model name's history: entries chained by digest, written once each, and what follows from them.

An entry's bytes are canonical JSON that holds the entry and a seal, the sha256 of the entry's own: so a byte that has
changed is found in the last one too. The next entry holds the sha256 of those bytes: to change, drop or insert one, all
that come after it would have to be written anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from lorp.digest import canonical_json, digest_bytes
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


def told(change: Change) -> str:
    """A change in words."""
    if change.act == "rejected":
        return "a variant rejected"
    if change.act == "registered":
        return f"version {change.version} registered"
    if change.act == "promoted":
        return f"version {change.version} promoted to {change.alias}"
    return f"{change.alias} rolled back to version {change.version}"


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
        """What is stored: canonical JSON of entry and seal, of which the entry's own is a part."""
        # Not `asdict`, which copies all that is in it: ledgers have thousands of entries.
        body = canonical_json({**vars(self), "change": vars(self.change)})
        return b'{"entry":%b,"sha256":"%b"}' % (body, digest_bytes(body).encode())

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
    entries = []
    for link in examine(name, stored):
        if link.entry is None or link.fault:
            remedy = "Bring it back from a copy of the store" if link.missing else _TRUST
            raise IntegrityError(f"entry {link.sequence} of the ledger of {name} {link.fault}", remedy)
        entries.append(link.entry)
    return tuple(entries)


@dataclass(frozen=True, kw_only=True)
class Link:
    """A place in a chain.

    Attributes:
        sequence: From 1.
        entry: What is there, if it can be read.
        fault: What is wrong with it, as the end of a sentence; None if nothing is.
        missing: Whether there is nothing.
    """

    sequence: int
    entry: Entry | None = None
    fault: str | None = None
    missing: bool = False


def examine(name: str, stored: Mapping[int, bytes]) -> Iterator[Link]:
    """Every entry of a chain, one after the other, what comes after a fault too; of a gap its first place.

    Args:
        name: The registered model.
        stored: Entries' bytes by sequence.
    """
    before: str | None = None
    known, expected = True, 1  # whether the entry before is what was written, so that the next is held against it
    for place, data in sorted(stored.items()):
        if place != expected:
            yield Link(sequence=expected, fault="is missing", missing=True)
            known = False
        entry, fault = _read_entry(data)
        if entry and not _belongs(entry, name, place, before if known else entry.before):
            fault = "is not the one that belongs there"
        yield Link(sequence=place, entry=entry, fault=fault)
        before, known, expected = digest_bytes(data), fault is None, place + 1


_TRUST = "Trust none that come after it, and compare with a copy of the store"


def _belongs(entry: Entry, name: str, place: int, before: str | None) -> bool:
    return (entry.schema, entry.name, entry.sequence, entry.before) == (SCHEMA, name, place, before)


@dataclass(frozen=True, kw_only=True)
class _Sealed:
    entry: Entry
    sha256: str


def _read_entry(data: bytes) -> tuple[Entry | None, str | None]:
    """An entry, or why there is none."""
    try:
        entry = decode(_Sealed, data).entry
    except IntegrityError as fault:
        return None, f"cannot be read: {fault.reason}"
    return (entry, None) if entry.data == data else (None, "is not as it was written")


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

    def play(self, change: Change) -> None:
        """Goes on by one change."""
        if change.version is None:
            self.rejections.setdefault(change.lineage, change)
        elif change.act == "registered":
            self.versions.setdefault(change.version, change)
        elif change.alias:
            held = self.held.get(change.alias, ())
            self.held[change.alias] = (*_below(held, change), change.version)

    def unlawful(self, change: Change) -> str | None:
        """Why nothing that lorp does leads from here to a change; None if something does.

        Whether a promotion's decision allows it is not looked at.
        """
        if change.act in ("registered", "rejected"):
            return self._unlawful_run(change)
        known = self.versions.get(change.version or 0)
        if known is None or change.alias is None:
            return "it moves an alias to a version that was not registered"
        same = (known.variant, known.verdict, known.lineage) == (change.variant, change.verdict, change.lineage)
        if not same:
            return "it moves an alias to a version that was registered as another"
        if change.act == "promoted":
            return None if change.decision else "nothing was decided for this promotion"
        before = self.held.get(change.alias, ())[:-1]
        fine = change.version in before and change.decision is None
        return None if fine else f"{change.alias} never stood for the version that it goes back to"

    def _unlawful_run(self, change: Change) -> str | None:
        if change.alias or change.decision or (change.version is None) != (change.act == "rejected"):
            return "it is neither a registration, nor a rejection, nor a move of an alias"
        if change.version in self.versions or change.lineage in self.rejections:
            return "it was entered before"
        return None

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
    for entry in entries:
        found.play(entry.change)
    return found


def _below(held: tuple[int, ...], change: Change) -> tuple[int, ...]:
    """What stays under the version that an alias is moved to."""
    if change.act == "rolled-back" and change.version in held:
        return held[: _last(held, change.version)]
    return held[:-1] if held and held[-1] == change.version else held


def _last(held: tuple[int, ...], version: int) -> int:
    return len(held) - 1 - held[::-1].index(version)
