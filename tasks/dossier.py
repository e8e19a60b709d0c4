"""An audit, the runs that it was about and their ledgers -> what a dossier shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain

import lorp
from lorp.digest import canonical_json
from lorp.errors import LorpError
from lorp.heads import Head
from lorp.ledger import standing
from lorp.lineage import FILES_DIGEST, STORE, Descriptor
from lorp.report.dossier import BlockLine, DossierData, EntryLine, Line, RunPart, Thing
from lorp.report.lineage_graph import Node, lineage_graph
from lorp.report.page import asked_for
from tasks.answers import Why, explain
from tasks.audit.findings import Audit
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


def dossier_data(
    found: Audit, runs: Sequence[RunRecord], ledgers: Sequence[AuditedLedger], objects: Objects, store: str
) -> DossierData:
    """Gathers what the page shows; of runs that cannot be explained any more, what the audit says is all there is.

    Args:
        found: The audit.
        runs: The records that could be read.
        ledgers: Those that they are in.
        objects: The store.
        store: Its address.
    """
    parts = [part for run in runs if (part := _part(run, ledgers, objects))]
    heads = [head for ledger in ledgers if (head := _head(ledger))]
    return DossierData(
        target=found.target,
        store=store,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        version=lorp.__version__,
        sound=found.sound,
        lines=tuple(Line(about=step.about, name=step.name, state=step.state, said=step.said) for step in found.steps),
        faults=tuple((fault.object, fault.reason) for fault in found.faults),
        num_objects=found.num_objects,
        num_bytes=found.num_bytes,
        runs=parts,
        entries=tuple(chain.from_iterable(map(_entries, ledgers))),
        head=canonical_json([asdict(head) for head in heads]).decode(),
    )


def _part(run: RunRecord, ledgers: Sequence[AuditedLedger], objects: Objects) -> RunPart | None:
    try:
        why = explain(run, objects)
    except LorpError:
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
        graph=lineage_graph(_nodes(run, ledgers, things), f"What {run.title} rests on"),
        things=things,
        asked=asked_for(run.spec),
    )


def _facts(run: RunRecord, why: Why) -> Iterator[tuple[str, str]]:
    record = run.record
    source = next(each for each in record.dependencies if each.name == "source")
    code = next(each for each in record.dependencies if each.name == "lorp")
    yield "Source", f"{record.source} ({source.uri})"
    yield "Blocks", f"{len(why.plan.removed)} of {why.plan.num_blocks} removed by {why.plan.method}"
    yield "Finished", record.finished
    yield "Made on", f"{', '.join(record.compute['devices'])} in {record.compute['dtype']}"
    yield "Made by", f"{code.uri}, commit {code.digest.get('gitCommit', 'not known')}"
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


def _nodes(run: RunRecord, ledgers: Sequence[AuditedLedger], things: Sequence[Thing]) -> list[Node]:
    """A node for each kind of stage; above them the record, its entry in the ledger, and the aliases that are there."""
    by_stage: dict[str, list[Manifest]] = {}
    for manifest in run.manifests:
        by_stage.setdefault(manifest.stage, []).append(manifest)
    makers = {made.sha256: stage for stage, each in by_stage.items() for one in each for made in one.outputs.values()}
    anchors = {thing.address: thing.anchor for thing in things}
    nodes = [
        Node(
            id=stage,
            title=_MADE.get(stage, stage),
            detail=_detail(each),
            href=f"#{_anchor(each, anchors, things)}",
            rests_on=_rests_on(stage, each, makers),
        )
        for stage, each in by_stage.items()
    ]
    return [*_above(run, ledgers, things[0].anchor), *nodes]


def _rests_on(stage: str, manifests: Sequence[Manifest], makers: Mapping[str, str]) -> tuple[str, ...]:
    named = frozenset().union(*(digests_in(canonical_json(manifest.inputs)) for manifest in manifests))
    below = {makers[sha256] for sha256 in named if sha256 in makers} - {stage}
    return tuple(each for each in _MADE if each in below)


def _detail(manifests: Sequence[Manifest]) -> str:
    if len(manifests) > 1:
        return f"{len(manifests)} stages"
    return next(iter(manifests[0].outputs.values())).sha256[:_SHORT]


def _anchor(manifests: Sequence[Manifest], anchors: Mapping[str, str], things: Sequence[Thing]) -> str:
    """Where on the page the first thing stands that stages have made."""
    made = next(iter(manifests[0].outputs.values()))
    keys = [made.key, *(key for key, _ in made.objects())]
    return next((anchors[key] for key in keys if key in anchors), things[0].anchor)


def _above(run: RunRecord, ledgers: Sequence[AuditedLedger], record: str) -> Iterator[Node]:
    name, version = run.record.model_name, run.record.model_version
    yield Node(id="record", title="Record", detail=run.sha256[:_SHORT], href=f"#{record}", rests_on=("gate", "prune"))
    for ledger in ledgers:
        entry = next((each for each in ledger.entries if each.change.lineage == run.sha256), None)
        if ledger.name != name or entry is None:
            continue
        href = f"#{_entry_anchor(name, entry.sequence)}"
        what = f"Version {version}" if version else "Rejected"
        yield Node(id="entry", title=what, detail=f"entry {entry.sequence}", href=href, rests_on=("record",))
        for alias, held in standing(ledger.entries).held.items():
            if held[-1] == version:
                yield Node(id=f"@{alias}", title=f"{name}@{alias}", detail="now", href="#ledger", rests_on=("entry",))


def _entries(ledger: AuditedLedger) -> Iterator[EntryLine]:
    for entry in ledger.entries:
        change = entry.change
        yield EntryLine(
            anchor=_entry_anchor(ledger.name, entry.sequence),
            ledger=ledger.name,
            sequence=entry.sequence,
            time=change.time,
            what=f"{change.act} {change.version or ''} {f'as {change.alias}' if change.alias else ''}".strip(),
            asked_by=change.asked_by,
            reason=change.reason,
            sha256=ledger.digests.get(entry.sequence, ""),
        )


def _entry_anchor(name: str, sequence: int) -> str:
    return f"entry-{name}-{sequence}"


def _head(ledger: AuditedLedger) -> Head | None:
    last = max(ledger.digests, default=0)
    return Head(name=ledger.name, sequence=last, sha256=ledger.digests[last]) if last else None
