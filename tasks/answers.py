"""What auditors ask: what was in production when, and why; how two versions differ.

The answers come from ledgers and records alone. Nothing in the store is changed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lorp.clustering import Clustering
from lorp.errors import IntegrityError, SpecError
from lorp.gate import Verdict
from lorp.healing.patch import Patch
from lorp.ledger import Change, Entry
from lorp.plan import PruningPlan
from lorp.promotion import Decision
from lorp.similarity import Similarity
from lorp.stability import Stability
from lorp.values import decode
from tasks.audit.dry_vault import DryVault
from tasks.audit.objects import Objects
from tasks.audit.targets import resolve
from tasks.evidence import read_evidence
from tasks.records import RunRecord, parse_record
from tasks.store import ObjectStore
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class Reign:
    """A time in which an alias stood for a version.

    Attributes:
        alias: The alias.
        version: The version.
        since: From when, UTC, ISO 8601.
        until: Until when; None for as long as it does.
        asked_by: Who asked for it.
        reason: Why.
        verdict: Id of the verdict that it rests on.
    """

    alias: str
    version: int
    since: str
    until: str | None
    asked_by: str
    reason: str
    verdict: str


def reigns(entries: Sequence[Entry]) -> list[Reign]:
    """Which version each alias stood for, and when; oldest first."""
    moves = [entry.change for entry in entries if entry.change.alias and entry.change.version]
    ends = {
        place: next((later.time for later in moves[place + 1 :] if later.alias == move.alias), None)
        for place, move in enumerate(moves)
    }
    return [
        Reign(
            alias=str(move.alias),
            version=move.version or 0,
            since=move.time,
            until=ends[place],
            asked_by=move.asked_by,
            reason=move.reason,
            verdict=move.verdict,
        )
        for place, move in enumerate(moves)
    ]


@dataclass(frozen=True, kw_only=True)
class Approved:
    """A person's approval of a promotion, as they said themselves.

    Attributes:
        sequence: The promotion's entry in the ledger.
        by: Who.
        note: Why.
    """

    sequence: int
    by: str
    note: str


def approvals(vault: Vault, entries: Sequence[Entry]) -> dict[int, Approved]:
    """Approvals on which promotions rest, by their entry.

    Raises:
        IntegrityError: A decision is gone or has changed.
    """
    found = {}
    for entry in entries:
        if entry.change.decision:
            reference = Reference(key=f"values/{entry.change.decision}.json", sha256=entry.change.decision, bytes=0)
            approval = decode(Decision, vault.read(reference)).approval
            if approval:
                found[entry.sequence] = Approved(sequence=entry.sequence, by=approval.by, note=approval.note)
    return found


@dataclass(frozen=True, kw_only=True)
class Move:
    """A move of an alias to a version, and who approved of it."""

    change: Change
    approved: Approved | None


@dataclass(frozen=True, kw_only=True)
class RemovedBlock:
    """What spoke for a block's removal.

    Attributes:
        block: Index in the source.
        cluster: Number of its cluster.
        cluster_size: Blocks in it.
        similarity: Mean cosine between its input and what it hands on.
        score: What the selector went by.
        share: Of the bootstrap resamples that remove it too.
    """

    block: int
    cluster: int
    cluster_size: int
    similarity: float
    score: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why a version is as it is.

    Attributes:
        run: Its record.
        verdict: What the gate said.
        healing: How the others were healed.
        plan: Which blocks were removed.
        blocks: One by one.
        moves: By which an alias came to stand for it.
    """

    run: RunRecord
    verdict: Verdict
    healing: str
    plan: PruningPlan
    blocks: tuple[RemovedBlock, ...]
    moves: tuple[Move, ...] = ()


def why(store: ObjectStore, target: str) -> Why:
    """Explains a version.

    Raises:
        SpecError: There is no such version.
        IntegrityError: What it rests on is gone or has changed.
    """
    objects = Objects(store)
    change, entries = _version(objects, target)
    people = approvals(DryVault(objects), entries)
    moves = [entry for entry in entries if entry.change.alias and entry.change.version == change.version]
    told = tuple(Move(change=entry.change, approved=people.get(entry.sequence)) for entry in moves)
    return replace(explain(_run(objects, change), objects), moves=told)


def explain(run: RunRecord, objects: Objects) -> Why:
    """Explains a run by its record; what its ledger says is left out.

    Raises:
        IntegrityError: What it rests on is gone or has changed.
    """
    vault, chain = DryVault(objects), run.chain
    plan = decode(PruningPlan, vault.read(chain.plan.outputs["plan"]))
    clustering = decode(Clustering, vault.read(chain.cluster.outputs["clustering"]))
    similarity = decode(Similarity, vault.read(chain.score.outputs["similarity"]))
    stability = decode(Stability, vault.read(chain.stability))
    scores = {step.block: step.score for step in plan.steps}
    return Why(
        run=run,
        verdict=decode(Verdict, vault.read(chain.gate.outputs["verdict"])),
        healing=decode(Patch, vault.read(chain.heal.outputs["patch"])).method if chain.heal else "none",
        plan=plan,
        blocks=tuple(
            RemovedBlock(
                block=block,
                cluster=clustering.labels[block],
                cluster_size=clustering.labels.count(clustering.labels[block]),
                similarity=float(similarity.boundaries[block][block + 1]),
                score=scores[block],
                share=stability.shares[block],
            )
            for block in plan.removed
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two versions that are compared.

    Attributes:
        why: What it is, and why.
        source: Digest of the source checkpoint.
        spec: What was asked, flat.
        figures: Everything that was measured.
    """

    why: Why
    source: str
    spec: dict[str, Any]
    figures: dict[str, float]

    @property
    def title(self) -> str:
        """Its name and number."""
        return self.why.run.title

    @property
    def kept(self) -> tuple[int, ...]:
        """Block i is block `kept[i]` of its source."""
        return self.why.plan.kept


def side(store: ObjectStore, target: str) -> Side:
    """One of two versions. Raises as `why` does."""
    objects = Objects(store)
    run = _run(objects, _version(objects, target)[0])
    evaluations = {role: next(iter(stage.outputs.values())) for role, stage in run.chain.evaluations.items()}
    return Side(
        why=explain(run, objects),
        source=run.chain.checkpoint.sha256,
        spec=dict(_flat(run.record.spec)),
        figures=read_evidence(DryVault(objects), evaluations).figures,
    )


def _flat(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{where}.{name}".lstrip("."))
    else:
        yield where, value


def _version(objects: Objects, target: str) -> tuple[Change, tuple[Entry, ...]]:
    asked = [(each, change) for each in resolve(objects, target) for change in each.changes]
    if len(asked) != 1:
        runs = ", ".join(f"{_told(each.ledger.name, change)} (record {change.lineage})" for each, change in asked)
        raise SpecError(f"{target} has {len(asked)} runs: {runs}", "Give NAME@3, or the digest of a record")
    return asked[0][1], asked[0][0].ledger.entries


def _told(name: str, change: Change) -> str:
    return f"{name} {change.version}" if change.version else f"a rejected run of {name}"


def _run(objects: Objects, change: Change) -> RunRecord:
    key = f"values/{change.lineage}.json"
    data = objects.read(key, change.lineage)
    if data is None:
        raise IntegrityError(f"{key} is gone or has changed", "Bring it back from a copy of the store")
    return parse_record(data)
