"""An audit, the runs that it was about and their ledgers -> what a dossier shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain

import lorp
from lorp.digest import canonical_json
from lorp.errors import LorpError
from lorp.heads import Head, Heads
from lorp.ledger import last_move, told
from lorp.lineage import FILES_DIGEST, STORE, Descriptor
from lorp.report.dossier import BlockLine, DossierData, EntryLine, Line, RunPart, Thing
from lorp.report.lineage_graph import Node, lineage_graph
from lorp.report.page import asked_for
from tasks.answers import Approved, Why, approvals, explain
from tasks.audit import Audited
from tasks.audit.dry_vault import DryVault
from tasks.audit.ledgers import AuditedLedger
from tasks.audit.objects import Objects
from tasks.keeping import digests_in
from tasks.records import RunRecord
from tasks.vault import Manifest

#: What stages make, for people, in the order in which a run makes it.
_MADE = {
    "fetch": "Source checkpoint",
    "corpus": "Text from the hub",
    "windows": "Windows of text",
    "capture": "Capture",
    "score": "Similarity",
    "cluster": "Clusters",
    "questions": "Questions",
    "guess": "First guess of the count",
    "plan": "Plan",
    "search": "Plan, by search",
    "resample": "Stability of the plan",
    "heal": "Patch",
    "prune": "Variant",
    "look": "Looks at candidates",
    "mixtures": "Choice of corpora",
    "frontier": "Frontier",
    "evaluate": "Perplexity",
    "answers": "Answers",
    "generate": "Continuations",
    "speed": "Speed and memory",
    "gate": "Verdict",
}
_SHORT = 12


def dossier_data(audited: Audited, store: str) -> DossierData:
    """Gathers what the page shows; of a run that cannot be explained any more, what the audit says is all there is.

    Args:
        audited: The audit, and what it was about.
        store: The store's address.
    """
    found, ledgers, time = audited.found, audited.ledgers, datetime.now(UTC).isoformat(timespec="seconds")
    parts = [_part(run, ledgers, audited.objects) for run in audited.runs]
    heads = tuple(head for ledger in ledgers if (head := _head(ledger)))
    return DossierData(
        target=found.target,
        again=_again(audited),
        store=store,
        time=time,
        version=lorp.__version__,
        sound=found.sound,
        lines=tuple(Line(about=step.about, name=step.name, state=step.state, said=step.said) for step in found.steps),
        faults=tuple((fault.object, fault.reason) for fault in found.faults),
        num_objects=found.num_objects,
        num_bytes=found.num_bytes,
        runs=[part for part in parts if part],
        unexplained=sum(part is None for part in parts),
        entries=tuple(chain.from_iterable(_entries(ledger, audited.objects) for ledger in ledgers)),
        heads=canonical_json(asdict(Heads(time=time, heads=heads))).decode(),
    )


def _again(audited: Audited) -> str:
    """What to audit to see the same again: an alias may have moved by then."""
    if audited.found.everything:
        return "--all"
    if "@" in audited.found.target and len(audited.runs) == 1 and audited.runs[0].record.model_version:
        record = audited.runs[0].record
        return f"{record.model_name}@{record.model_version}"
    return audited.found.target


def _part(run: RunRecord, ledgers: Sequence[AuditedLedger], objects: Objects) -> RunPart | None:
    try:
        why = explain(run, objects)
    except Exception:  # nothing in a store is trusted, and the audit has named it
        return None
    anchor = f"run-{run.sha256[:_SHORT]}"
    things = tuple(_things(run, anchor))
    return RunPart(
        anchor=anchor,
        title=run.title,
        approved=why.verdict.approved,
        facts=tuple(_facts(run, why)),
        criteria=why.verdict.criteria,
        method=why.plan.method,
        blocks=tuple(
            BlockLine(block=each.block, cluster=each.cluster, similarity=each.similarity, share=each.share)
            for each in why.blocks
        ),
        kept=why.plan.kept,
        graph=lineage_graph(_nodes(run, ledgers, anchor, things), f"What {run.title} rests on"),
        things=things,
        asked=asked_for(run.spec),
    )


def _facts(run: RunRecord, why: Why) -> Iterator[tuple[str, str]]:
    record = run.record
    named = {each.name: each for each in record.dependencies}
    source, code = named["source"], named["lorp"]
    yield "Source", f"{record.source} ({source.uri})"
    yield "Blocks", f"{len(why.plan.removed)} of {why.plan.num_blocks} removed by {why.plan.method}"
    yield "Healing", why.healing
    yield "Finished", record.finished
    yield "Made on", f"{', '.join(record.devices) or 'no device'}, in {record.dtype}"
    yield "Made by", f"{code.uri}, commit {code.digest.get('gitCommit', 'not known')}"
    yield "Verdict", record.verdict_id
    yield "Flow run", record.flow_run
    yield "MLflow run", record.tracking_run


def _things(run: RunRecord, anchor: str) -> Iterator[Thing]:
    record = run.record
    described = [
        ("record", Descriptor(name="record", uri=f"{STORE}values/{run.sha256}.json", digest={"sha256": run.sha256})),
        *((f"variant: {each.name}", each) for each in record.subjects),
        *((each.name, each) for each in (*record.dependencies, *record.byproducts)),
    ]
    for number, (role, each) in enumerate(described):
        digest = each.digest.get("sha256") or each.digest.get(FILES_DIGEST) or next(iter(each.digest.values()), "")
        yield Thing(anchor=f"{anchor}-{number}", role=role, address=(each.uri or "").removeprefix(STORE), digest=digest)


def _nodes(run: RunRecord, ledgers: Sequence[AuditedLedger], anchor: str, things: Sequence[Thing]) -> list[Node]:
    """A node for each kind of stage; above them the record, its entry in the ledger, and the aliases that are there."""
    by_kind: dict[str, list[Manifest]] = {}
    for manifest in run.manifests:
        by_kind.setdefault(manifest.stage, []).append(manifest)
    judged = (run.chain.prune, run.chain.plan, run.chain.heal, run.chain.score, run.chain.cluster)
    kinds = {manifest.stage: manifest for manifest in judged if manifest}
    kinds["evaluate"] = run.chain.evaluations["pruned"]
    anchors = {thing.address: thing.anchor for thing in things}
    nodes = [
        Node(
            id=kind,
            title=_MADE[kind],
            detail=run.record.source if kind == "fetch" else _detail(kinds.get(kind, each[0]), len(each)),
            href=f"#{_anchor(kinds.get(kind, each[0]), anchors, anchor)}",
            rests_on=_rests_on(run, kind, each),
        )
        for kind, each in by_kind.items()
    ]
    bare = {node.id for node in nodes} - {below for node in nodes for below in node.rests_on}
    record = Node(
        id="record", title="Record", detail=run.sha256[:_SHORT], href=f"#{anchor}-0", rests_on=tuple(sorted(bare))
    )
    return [*_above(run, ledgers), record, *nodes]


def _rests_on(run: RunRecord, kind: str, manifests: Sequence[Manifest]) -> tuple[str, ...]:
    named = frozenset().union(*(digests_in(canonical_json(manifest.inputs)) for manifest in manifests))
    below = {run.chain.makers[sha256].stage for sha256 in named if sha256 in run.chain.makers} - {kind}
    if kind == "windows":  # they quote their tokenizer by a digest of its own
        below |= {"fetch"}
    return tuple(each for each in _MADE if each in below)


def _detail(manifest: Manifest, count: int) -> str:
    digest = next(iter(manifest.outputs.values())).sha256[:_SHORT]
    return f"{digest} and {count - 1} more" if count > 1 else digest


def _anchor(manifest: Manifest, anchors: Mapping[str, str], record: str) -> str:
    """Where on the page the first thing stands that a stage has made."""
    made = next(iter(manifest.outputs.values()))
    keys = [made.key, *(key for key, _ in made.objects())]
    return next((anchors[key] for key in keys if key in anchors), f"{record}-0")


def _above(run: RunRecord, ledgers: Sequence[AuditedLedger]) -> Iterator[Node]:
    name, version = run.record.model_name, run.record.model_version
    for ledger in ledgers:
        entry = next((each for each in ledger.entries if each.change.lineage == run.sha256), None)
        if ledger.name != name or entry is None:
            continue
        for alias, held in ledger.now.held.items():
            move = last_move(ledger.entries, alias)
            if held[-1] == version and move:
                href = f"#{_entry_anchor(name, move.sequence)}"
                detail = f"since {move.change.time[:10]}"
                yield Node(id=f"@{alias}", title=f"@{alias}", detail=detail, href=href, rests_on=("entry",))
        href = f"#{_entry_anchor(name, entry.sequence)}"
        what = f"Version {version}" if version else "Rejected"
        yield Node(id="entry", title=what, detail=f"entry {entry.sequence}", href=href, rests_on=("record",))


def _entries(ledger: AuditedLedger, objects: Objects) -> Iterator[EntryLine]:
    people = _approvals(ledger, objects)
    for entry in ledger.entries:
        change, approved = entry.change, people.get(entry.sequence)
        yield EntryLine(
            anchor=_entry_anchor(ledger.name, entry.sequence),
            ledger=ledger.name,
            sequence=entry.sequence,
            time=change.time,
            what=told(change),
            asked_by=change.asked_by,
            reason=change.reason,
            approved=f"{approved.by}{': ' if approved.note else ''}{approved.note}" if approved else "",
            sha256=ledger.digests.get(entry.sequence, ""),
        )


def _approvals(ledger: AuditedLedger, objects: Objects) -> dict[int, Approved]:
    try:
        return approvals(DryVault(objects), ledger.entries)
    except LorpError:  # the audit has named it
        return {}


def _entry_anchor(name: str, sequence: int) -> str:
    return f"entry-{name}-{sequence}"


def _head(ledger: AuditedLedger) -> Head | None:
    last = max(ledger.digests, default=0)
    return Head(name=ledger.name, sequence=last, sha256=ledger.digests[last]) if last else None
