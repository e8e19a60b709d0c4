"""A ledger -> whether its chain holds, what it rests on is there, and the registry stands where it says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from securesystemslib.signer import Key

from lorp.digest import digest_bytes
from lorp.errors import IntegrityError, LorpError
from lorp.heads import Head, head_fault
from lorp.ledger import Entry, Link, examine, standing
from lorp.promotion import Decision
from lorp.values import decode
from tasks.aliases import aliases, check_known
from tasks.audit.findings import Fault, Step, judged, not_done
from tasks.audit.objects import Objects
from tasks.audit.signatures import signed_step
from tasks.ledger import entry_key
from tasks.reconcile import elsewhere
from tasks.signing import ENTRY
from tasks.tracking import CANDIDATE
from tasks.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class AuditedLedger:
    """A ledger as it lies in the store.

    Attributes:
        name: The registered model.
        stored: Bytes by sequence.
        links: Every place of the chain.
    """

    name: str
    stored: Mapping[int, bytes]
    links: tuple[Link, ...]

    @property
    def about(self) -> str:
        """What people are told it is."""
        return f"ledger of {self.name}"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those that can be read, sound or not."""
        return tuple(link.entry for link in self.links if link.entry)

    @property
    def digests(self) -> dict[int, str]:
        """sha256 by sequence."""
        return {sequence: digest_bytes(data) for sequence, data in self.stored.items()}


def see_ledger(objects: Objects, name: str) -> AuditedLedger:
    """Reads a ledger."""
    keys = [key for key in objects.listed(f"ledger/{name}") if key.endswith(".json")]
    read = {_sequence(name, key): objects.raw(key) for key in keys}
    stored = {sequence: data for sequence, data in read.items() if sequence and data is not None}
    return AuditedLedger(name=name, stored=stored, links=tuple(examine(name, stored)))


def _sequence(name: str, key: str) -> int:
    """0 for what is no entry."""
    digits = key.removeprefix(f"ledger/{name}/").removesuffix(".json")
    return int(digits) if digits.isdecimal() and entry_key(name, int(digits)) == key else 0


def chain_step(ledger: AuditedLedger) -> Step:
    """Whether every entry is in its place."""
    faults = [
        Fault(object=entry_key(ledger.name, link.sequence), reason=f"it {link.fault}")
        for link in ledger.links
        if link.fault
    ]
    return judged(ledger.about, "chain", faults, f"{len(ledger.links)} entries, each names the one before it")


def promotions_step(ledger: AuditedLedger, objects: Objects) -> Step:
    """Whether every move of an alias is to a version that was registered, and every promotion rests on a decision."""
    faults = list(_unfounded(ledger.name, ledger.entries, objects))
    moved = sum(entry.change.alias is not None for entry in ledger.entries)
    return judged(ledger.about, "promotions", faults, f"{moved} moves of aliases, promotions decided under a policy")


def _unfounded(name: str, entries: Sequence[Entry], objects: Objects) -> Iterator[Fault]:
    for place, entry in enumerate(entries):
        change = entry.change
        if change.alias is None:
            continue
        key, before = entry_key(name, entry.sequence), standing(entries[:place])
        registered = before.versions.get(change.version or 0)
        of_version = (change.variant, change.verdict, change.lineage)
        if registered is None or of_version != (registered.variant, registered.verdict, registered.lineage):
            yield Fault(object=key, reason=f"it moves {change.alias} to a version that was not registered so")
        if change.act == "promoted":
            yield from _undecided(name, entry, objects)


def _undecided(name: str, entry: Entry, objects: Objects) -> Iterator[Fault]:
    change = entry.change
    if change.decision is None:
        yield Fault(object=entry_key(name, entry.sequence), reason="it is a promotion that nothing was decided for")
        return
    key = f"values/{change.decision}.json"
    data = objects.read(key, change.decision)
    if data is None:
        yield from filter(None, [objects.fault(key, change.decision)])
        return
    try:
        decision = decode(Decision, data)
    except IntegrityError as fault:
        yield Fault(object=key, reason=fault.reason)
        return
    asked = (decision.name, decision.alias, decision.version, decision.verdict)
    if asked != (name, change.alias, change.version, change.verdict) or not decision.allowed:
        yield Fault(object=key, reason=f"it does not decide for entry {entry.sequence} of the ledger of {name}")


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
    """Whether aliases in the registry are where the ledger says; the registry is only asked if there is one."""
    if places is None:
        return not_done(ledger.about, "registry", "no registry was named or found, so aliases are the ledger's alone")
    try:
        registered = aliases(places, ledger.name)
        now = standing(ledger.entries)
        faults = [
            Fault(
                object=f"{ledger.name}@{found.alias}",
                reason=f"it is {_told(found.registry)} in the registry, and version {found.ledger} in the ledger",
            )
            for found in elsewhere(ledger.name, ledger.entries, registered)
        ]
        faults += [
            Fault(object=f"{ledger.name}@{alias}", reason=f"it is version {version}, and no entry has moved it there")
            for alias, version in registered.items()
            if alias not in now.held and alias != CANDIDATE
        ]
        for held in {versions[-1] for versions in now.held.values()}:
            check_known(places, ledger.name, now.versions[held])
    except (LorpError, KeyError) as fault:
        reason = getattr(fault, "reason", f"there is no version {fault}")
        return judged(ledger.about, "registry", [Fault(object=ledger.name, reason=reason)], "")
    return judged(ledger.about, "registry", faults, f"{len(now.held)} aliases are where the ledger says")


def _told(version: int | None) -> str:
    return f"version {version}" if version else "nothing"
