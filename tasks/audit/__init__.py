"""Audit: from an alias to every byte that it rests on, and whether one thing follows from another.

It reads the store and changes nothing in it. Each object's bytes are read once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from securesystemslib.signer import Key

from lorp.errors import SpecError
from lorp.heads import Heads
from lorp.ledger import Change
from tasks.audit.findings import Audit, Fault, Step, guarded, held, judged, not_done
from tasks.audit.ledgers import (
    AuditedLedger,
    chain_step,
    head_step,
    promotions_step,
    registry_step,
    signatures_step,
)
from tasks.audit.objects import Objects
from tasks.audit.replay import replay_run
from tasks.audit.runs import audit_run
from tasks.audit.signatures import signed_step
from tasks.audit.targets import all_names, resolve
from tasks.audit.whole import store_step, unentered_step
from tasks.ledger_versions import entry_contradiction
from tasks.records import RunRecord, parse_record
from tasks.signing import STATEMENT
from tasks.store import ObjectStore
from tasks.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """What is to be looked at.

    Attributes:
        target: `NAME@alias`, `NAME@3`, `NAME`, a variant's address or digest; None for everything.
        places: The registry beside the ledgers, if it is to be asked.
        since: Heads of ledgers from an earlier day.
        trusted: Keys by one of which every record and entry has to be signed.
        replay: Whether capture, surgery and evaluation are done again.
    """

    target: str | None
    places: Workspace | None = None
    since: Heads | None = None
    trusted: tuple[Key, ...] = ()
    replay: bool = False


@dataclass(frozen=True, kw_only=True)
class Audited:
    """An audit, and what it was about.

    Attributes:
        found: What it found.
        ledgers: The ledgers.
        runs: Records that could be read.
        objects: The store, as it was read.
    """

    found: Audit
    ledgers: tuple[AuditedLedger, ...]
    runs: tuple[RunRecord, ...]
    objects: Objects


def audit(store: ObjectStore, request: AuditRequest) -> Audited:
    """Looks at everything that was asked about.

    Raises:
        SpecError: There is no such target.
        RegistryError: The registry cannot be asked.
        OutageError: The store does not answer.
    """
    objects = Objects(store)
    asked = resolve(objects, request.target, request.places)
    if request.target is None and not asked and not objects.listed("stages"):
        raise SpecError("there is nothing in the store that an audit could look at", "Look at --store")
    ledgers = tuple(each.ledger for each in asked)
    steps = [step for ledger in ledgers for step in _ledger_steps(ledger, objects, request)]
    steps += _lost_ledgers(objects, request)
    runs: list[RunRecord] = []
    for each in asked:
        for change in each.changes:
            about, read = _told(each.ledger.name, change), len(runs)
            look = partial(_record, about, each.ledger.name, change, objects, runs)
            steps.append(guarded(about, "record", f"values/{change.lineage}.json", look))
            for run in runs[read:]:
                steps += [_signed(run, objects, request.trusted), *audit_run(run, objects)]
                steps += replay_run(run, objects) if request.replay else ()
    if request.target is None:
        by_name = {ledger.name: ledger for ledger in ledgers}
        steps.append(guarded("store", "every run", "stages", partial(unentered_step, objects, by_name)))
        steps.append(guarded("store", "every object", "stages", partial(store_step, objects)))
    found = Audit(
        target=request.target or "everything",
        everything=request.target is None,
        steps=tuple(steps),
        num_objects=len(objects.digests),
        num_bytes=objects.num_bytes,
    )
    return Audited(found=found, ledgers=ledgers, runs=tuple(runs), objects=objects)


def _signed(run: RunRecord, objects: Objects, keys: tuple[Key, ...]) -> Step:
    return signed_step(run.title, {f"values/{run.sha256}.json": run.record.encode()}, STATEMENT, objects, keys)


def _ledger_steps(ledger: AuditedLedger, objects: Objects, request: AuditRequest) -> Iterator[Step]:
    yield chain_step(ledger)
    yield signatures_step(ledger, objects, request.trusted)
    where = f"ledger/{ledger.name}"
    yield guarded(ledger.about, "promotions", where, partial(promotions_step, ledger, objects))
    if request.since:
        heads = [head for head in request.since.heads if head.name == ledger.name]
        yield head_step(ledger, heads[0]) if heads else not_done(ledger.about, "head", "it was not among the heads")
    yield registry_step(ledger, request.places)


def _lost_ledgers(objects: Objects, request: AuditRequest) -> Iterator[Step]:
    """Ledgers that were there when heads were taken, if everything is asked about."""
    if request.since is None or request.target is not None:
        return
    known = all_names(objects)
    for head in request.since.heads:
        if head.name not in known:
            yield head_step(AuditedLedger(head.name, {}, (), ()), head)


def _told(name: str, change: Change) -> str:
    return f"{name} {change.version}" if change.version else f"a rejected run of {name}"


def _record(about: str, name: str, change: Change, objects: Objects, runs: list[RunRecord]) -> Step:
    """The record that an entry names, and whether both speak of the same; if so, it is one more of the runs."""
    key = f"values/{change.lineage}.json"
    data = objects.read(key, change.lineage)
    if data is None:
        return judged(about, "record", [fault for fault in [objects.fault(key, change.lineage)] if fault], "")
    run = parse_record(data)
    contradiction = entry_contradiction(change, run)
    if run.record.model_name != name:
        contradiction = f"it is of {run.record.model_name}"
    if contradiction:
        return judged(about, "record", [Fault(object=key, reason=contradiction)], "")
    runs.append(run)
    return held(about, "record", "an in-toto statement with SLSA provenance; ledger and record agree")
