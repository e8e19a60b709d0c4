"""A ledger -> whether its chain holds, what it rests on is there, and the registry stands where it says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from securesystemslib.signer import Key

from lorp.digest import digest_bytes
from lorp.errors import IntegrityError, RegistryError
from lorp.heads import Head, head_fault
from lorp.ledger import Entry, Link, Standing, examine, standing
from lorp.promotion import Decision
from lorp.values import decode
from tasks.aliases import aliases, check_known
from tasks.audit.findings import Fault, Step, judged, not_done
from tasks.audit.objects import Objects
from tasks.audit.signatures import signed_step
from tasks.ledger import entry_key, ledger_folder, sequence_of
from tasks.reconcile import elsewhere
from tasks.signing import ENTRY
from tasks.tracking import CANDIDATE
from tasks.workspace import Workspace


@dataclass(frozen=True)
class AuditedLedger:
    """A ledger as it lies in the store.

    Attributes:
        name: The registered model.
        stored: Bytes by sequence.
        links: Every entry of the chain.
        foreign: Keys of what lies beside the entries.
    """

    name: str
    stored: Mapping[int, bytes]
    links: tuple[Link, ...]
    foreign: tuple[str, ...]

    @property
    def about(self) -> str:
        """What people are told it is."""
        return f"ledger of {self.name}"

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Those that can be read, sound or not."""
        return tuple(link.entry for link in self.links if link.entry)

    @cached_property
    def digests(self) -> dict[int, str]:
        """sha256 by sequence."""
        return {sequence: digest_bytes(data) for sequence, data in self.stored.items()}

    @cached_property
    def now(self) -> Standing:
        """How things stand by it."""
        return standing(self.entries)


def see_ledger(objects: Objects, name: str) -> AuditedLedger:
    """Reads a ledger.

    Raises:
        SpecError: Nothing can have such a name.
    """
    keys = {key: sequence_of(name, key) for key in objects.listed(ledger_folder(name))}
    read = {sequence: objects.raw(key) for key, sequence in keys.items() if sequence}
    stored = {sequence: data for sequence, data in read.items() if data is not None}
    foreign = tuple(key for key, sequence in keys.items() if not sequence)
    return AuditedLedger(name, stored, tuple(examine(name, stored)), foreign)


def chain_step(ledger: AuditedLedger) -> Step:
    """Whether every entry is in its place."""
    faults = [
        Fault(object=entry_key(ledger.name, link.sequence), reason=f"it {link.fault}")
        for link in ledger.links
        if link.fault
    ]
    faults += [Fault(object=key, reason="it does not belong there") for key in ledger.foreign]
    return judged(
        ledger.about, "chain", faults, f"{_counted(len(ledger.links), 'entry', 'entries')}, each names the one before"
    )


def promotions_step(ledger: AuditedLedger, objects: Objects) -> Step:
    """Whether every entry follows from those before it, and every promotion rests on a decision."""
    faults, now = [], Standing()
    for entry in ledger.entries:
        reason = now.unlawful(entry.change)
        if reason:
            faults.append(Fault(object=entry_key(ledger.name, entry.sequence), reason=reason))
        elif entry.change.act == "promoted":
            faults += _undecided(ledger.name, entry, now, objects)
        now.play(entry.change)
    moved = sum(entry.change.alias is not None for entry in ledger.entries)
    said = f"{_counted(moved, 'move of an alias', 'moves of aliases')}; each promotion was decided under a policy"
    return judged(ledger.about, "promotions", faults, said)


def _undecided(name: str, entry: Entry, before: Standing, objects: Objects) -> Iterator[Fault]:
    change = entry.change
    key = f"values/{change.decision}.json"
    data = objects.read(key, str(change.decision))
    if data is None:
        yield from filter(None, [objects.fault(key, str(change.decision))])
        return
    try:
        decision = decode(Decision, data)
    except IntegrityError as fault:
        yield Fault(object=key, reason=fault.reason)
        return
    asked = (decision.name, decision.alias, decision.version, decision.verdict, decision.production)
    stood = (name, change.alias, change.version, change.verdict, before.now(str(change.alias)))
    if asked != stood:
        yield Fault(object=key, reason=f"it does not decide for entry {entry.sequence} of the ledger of {name}")
    elif not decision.allowed or not decision.consistent:
        yield Fault(object=key, reason="it does not allow the promotion that rests on it")


def signatures_step(ledger: AuditedLedger, objects: Objects, keys: Sequence[Key]) -> Step:
    """Whether every entry is signed by a trusted key."""
    payloads = {entry_key(ledger.name, sequence): data for sequence, data in ledger.stored.items()}
    return signed_step(ledger.about, payloads, ENTRY, objects, keys)


def head_step(ledger: AuditedLedger, head: Head) -> Step:
    """Whether a ledger still has what it had when a head was taken."""
    fault = head_fault(head, ledger.digests)
    faults = [Fault(object=f"ledger/{ledger.name}", reason=fault)] if fault else []
    return judged(ledger.about, "head", faults, f"goes on from entry {head.sequence}, as it was exported")


def registry_step(ledger: AuditedLedger, places: Workspace | None) -> Step:
    """Whether aliases in the registry are where the ledger says; the registry is only asked if there is one.

    Raises:
        RegistryError: It cannot be asked.
    """
    if places is None:
        return not_done(ledger.about, "registry", "no registry was named or found, so aliases are the ledger's alone")
    registered = aliases(places, ledger.name)
    faults = [
        Fault(
            object=f"{ledger.name}@{found.alias}",
            reason=f"it is {_told(found.registry)} in the registry, and version {found.ledger} in the ledger",
        )
        for found in elsewhere(ledger.name, ledger.entries, registered)
    ]
    faults += list(_strangers(ledger, registered))
    for version in {*registered.values()} & ledger.now.versions.keys():
        try:
            check_known(places, ledger.name, ledger.now.versions[version])
        except RegistryError as fault:
            faults.append(Fault(object=f"{ledger.name} {version}", reason=fault.reason))
    said = f"{_counted(len(ledger.now.held), 'alias is', 'aliases are')} where the ledger says"
    return judged(ledger.about, "registry", faults, said)


def _strangers(ledger: AuditedLedger, registered: Mapping[str, int]) -> Iterator[Fault]:
    """Aliases that no entry has moved, and versions that the ledger does not have."""
    for alias, version in registered.items():
        if alias not in ledger.now.held and alias != CANDIDATE:
            yield Fault(object=f"{ledger.name}@{alias}", reason=f"it is version {version}, and no entry moved it there")
        elif version not in ledger.now.versions:
            yield Fault(object=f"{ledger.name}@{alias}", reason=f"it is version {version}, which the ledger lacks")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _told(version: int | None) -> str:
    return f"version {version}" if version else "nothing"
