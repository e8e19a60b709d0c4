"""What auditors ask: what was in production when, and why; how two versions differ; what rests on a text or checkpoint.

The answers come from ledgers and records alone. Nothing in the store is changed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lorp.clustering import Clustering
from lorp.errors import IntegrityError, SpecError
from lorp.gate import CriterionResult, Verdict
from lorp.ledger import Change, Entry, standing
from lorp.plan import PruningPlan
from lorp.similarity import Similarity
from lorp.stability import Stability
from lorp.values import decode
from tasks.audit.objects import Objects
from tasks.audit.rederive import DryVault
from tasks.audit.targets import all_names, resolve
from tasks.evidence import read_evidence
from tasks.keeping import digests_in
from tasks.ledger import read_ledger
from tasks.records import RunRecord, parse_record
from tasks.store import ObjectStore
from tasks.vault import Vault

Value = TypeVar("Value")


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
        plan: Which blocks were removed.
        blocks: One by one.
        moves: Entries of the ledger that moved an alias to it.
    """

    run: RunRecord
    verdict: Verdict
    plan: PruningPlan
    blocks: tuple[RemovedBlock, ...]
    moves: tuple[Change, ...] = ()


def why(store: ObjectStore, target: str) -> Why:
    """Explains a version.

    Raises:
        SpecError: There is no such version.
        IntegrityError: What it rests on is gone or has changed.
    """
    objects = Objects(store)
    change, entries = _version(objects, target)
    moves = [entry.change for entry in entries if entry.change.alias and entry.change.version == change.version]
    return replace(explain(_run(objects, change), objects), moves=tuple(moves))


def explain(run: RunRecord, objects: Objects) -> Why:
    """Explains a run by its record; what its ledger says is left out.

    Raises:
        IntegrityError: What it rests on is gone or has changed.
    """
    values = _Values(run, DryVault(objects))
    plan, clustering = values.of_plan("plan", PruningPlan), values.of_plan("clustering", Clustering)
    similarity, stability = values.of_plan("similarity", Similarity), values.of_plan("stability", Stability)
    scores = {step.block: step.score for step in plan.steps}
    return Why(
        run=run,
        verdict=values.verdict,
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


class _Values:
    """The values behind a run's record."""

    def __init__(self, run: RunRecord, vault: Vault) -> None:
        self._run, self._vault = run, vault

    @property
    def verdict(self) -> Verdict:
        """What the gate said."""
        return decode(Verdict, self._vault.read(self._run.stage("gate").outputs["verdict"]))

    @property
    def figures(self) -> dict[str, float]:
        """Everything that the gate's evaluations measured."""
        judged = self._run.stage("gate").inputs["evaluations"]
        return read_evidence(self._vault, {role: self._run.output(sha256) for role, sha256 in judged.items()}).figures

    def of_plan(self, role: str, kind: type[Value]) -> Value:
        """What the variant's plan is, rests on, or is known by."""
        run = self._run
        pruned = next(stage for stage in run.manifests if run.variant in stage.outputs.values())
        planned = [stage for stage in run.manifests if _makes(stage.outputs, pruned.inputs["plan"])]
        made = {**planned[0].inputs, **{name: each.sha256 for name, each in planned[0].outputs.items()}}
        if role == "stability" and role not in made:
            made[role] = self._resampled(planned[0].inputs).sha256
        return decode(kind, self._vault.read(run.output(made[role])))

    def _resampled(self, planned: Mapping[str, Any]) -> Any:
        """How sure a plan is that was made from the similarity alone: a stage of its own says it."""
        scored = next(stage for stage in self._run.manifests if _makes(stage.outputs, planned["similarity"]))
        found = [
            stage
            for stage in self._run.manifests
            if stage.stage == "resample"
            and (stage.inputs["windows"], stage.inputs["count"]) == (scored.inputs["windows"], planned["count"])
        ]
        if not found:
            raise self._run.incomplete("shares of resamples")
        return found[0].outputs["stability"]


def _makes(outputs: Mapping[str, Any], sha256: str) -> bool:
    return any(made.sha256 == sha256 for made in outputs.values())


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two versions that are compared.

    Attributes:
        title: Its name and number.
        variant: Digest of its files.
        spec: What was asked, flat.
        num_blocks: Of its source.
        kept: Block i is block `kept[i]` of its source.
        figures: What was measured.
        criteria: What the gate said.
    """

    title: str
    variant: str
    spec: dict[str, Any]
    num_blocks: int
    kept: tuple[int, ...]
    figures: dict[str, float]
    criteria: tuple[CriterionResult, ...]


def side(store: ObjectStore, target: str) -> Side:
    """One of two versions. Raises as `why` does."""
    objects = Objects(store)
    run = _run(objects, _version(objects, target)[0])
    values = _Values(run, DryVault(objects))
    plan = values.of_plan("plan", PruningPlan)
    return Side(
        title=run.title,
        variant=run.variant.sha256,
        spec=dict(_flat(run.record.spec)) | {"source digest": run.stage("fetch").outputs["checkpoint"].sha256},
        num_blocks=plan.num_blocks,
        kept=plan.kept,
        figures=values.figures,
        criteria=values.verdict.criteria,
    )


def _flat(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{where}.{name}".lstrip("."))
    else:
        yield where, value


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


def affected(store: ObjectStore, digest: str) -> list[Affected]:
    """Runs that rest on something, themselves or through another's variant.

    Raises:
        IntegrityError: A ledger or record cannot be read.
    """
    vault = Vault(store)
    ledgers = {name: read_ledger(vault, name) for name in all_names(Objects(store))}
    runs = [
        (change, name, vault.store.read(f"values/{change.lineage}.json"))
        for name, entries in ledgers.items()
        for change in _made(entries)
    ]
    names = {id(data): digests_in(data) for _, _, data in runs}
    found: dict[str, Affected] = {}
    wanted: list[tuple[str, tuple[str, ...]]] = [(digest, ())]
    while wanted:
        sought, through = wanted.pop(0)
        for change, name, data in runs:
            takes = sought in names[id(data)] and (not through or sought != change.variant)
            if not takes or change.lineage in found:
                continue
            held = standing(ledgers[name]).held.items()
            found[change.lineage] = Affected(
                name=name,
                version=change.version,
                variant=change.variant,
                through=through,
                roles=_roles(data, sought),
                aliases=tuple(alias for alias, versions in held if versions[-1] == change.version),
            )
            wanted.append((change.variant, (change.variant, *through)))
    return list(found.values())


def _made(entries: Sequence[Entry]) -> list[Change]:
    now = standing(entries)
    return [*now.versions.values(), *now.rejections.values()]


def _roles(data: bytes, digest: str) -> tuple[str, ...]:
    """What a record calls the things of this digest; the whole statement where it only quotes it."""
    predicate = json.loads(data)["predicate"]
    described = (
        *predicate["buildDefinition"]["resolvedDependencies"],
        *predicate["runDetails"]["byproducts"],
    )
    roles = [each["name"] for each in described if digest in each.get("digest", {}).values()]
    return tuple(dict.fromkeys(roles)) or ("quoted",)


def _version(objects: Objects, target: str) -> tuple[Change, tuple[Entry, ...]]:
    asked = resolve(objects, target)
    if len(asked) != 1 or len(asked[0].changes) != 1:
        raise SpecError(f"{target} is more than one version", "Give NAME@3, or NAME@production")
    return asked[0].changes[0], asked[0].ledger.entries


def _run(objects: Objects, change: Change) -> RunRecord:
    key = f"values/{change.lineage}.json"
    data = objects.read(key, change.lineage)
    if data is None:
        raise IntegrityError(f"{key} is gone or has changed", "Bring it back from a copy of the store")
    return parse_record(data)
