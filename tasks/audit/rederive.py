"""What follows from stored values -> the same values once more: similarity, clusters, plan, comparisons, verdict.

Each stage that takes no model, but for the one that tells how sure a plan is, is rebuilt from the inputs that its
manifest quotes and run again, without writing anything. Searches are run again on the trials that were recorded.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lorp.clustering import Clustering
from lorp.digest import digest_value
from lorp.plan import PruningPlan
from lorp.search.frontier import Frontier
from lorp.search.recorded import RecordedTrials, TriedPlans
from lorp.selection import Grounds, make_plan
from lorp.similarity import Similarity
from lorp.spec import ComputeSpec
from lorp.values import decode, encode
from tasks.audit.dry_vault import DryVault
from tasks.audit.objects import Objects
from tasks.frontier import Candidate, DrawFrontier, LookedAt
from tasks.gate import Asked, Gate
from tasks.mixtures import CompareMixtures, TriedMixture
from tasks.plan import Cluster, Plan, Score
from tasks.records import RunRecord
from tasks.search import GuessDepth, Search
from tasks.stage import Outputs, Request
from tasks.vault import Manifest, Reference, Vault

#: Relative difference of two floating-point numbers that counts as none: sums may be taken in another order elsewhere.
TOLERANCE = 1e-9

_NOWHERE = Path("/nonexistent")


#: A stage, rebuilt; and what runs it again from what is stored.
Again = tuple[Request, Callable[[], Outputs]]


def rederivable(manifest: Manifest) -> bool:
    """Whether a stage takes nothing but stored values."""
    return manifest.stage in _REBUILT


def rederived(run: RunRecord, manifest: Manifest, objects: Objects) -> tuple[str | None, str]:
    """A stage's outputs, derived again and compared.

    Args:
        run: The record of the run.
        manifest: One of its stages, for which `rederivable` holds.
        objects: Where what it takes is read.

    Raises:
        LorpError: It cannot be derived again; or whatever else comes of values that are none.

    Returns:
        What does not reproduce, if anything; and how well the rest does.
    """
    vault = DryVault(objects)
    request, compute = _REBUILT[manifest.stage](run, manifest, vault)
    if not _same_inputs(request, manifest.inputs):
        return "its inputs are not those of the run's other stages", ""
    exact = True
    for role, reference in compute().items():
        recorded = manifest.outputs[role]
        if recorded.sha256 == reference.sha256:
            continue
        exact = False
        difference = first_difference(json.loads(vault.read(recorded)), json.loads(vault.made[reference.sha256]))
        if difference:
            return f"derived again, its {role} differs {difference}{_of_another_version(request, manifest)}", ""
    return None, "byte for byte" if exact else f"within {TOLERANCE:g}"


def _of_another_version(request: Request, manifest: Manifest) -> str:
    """Told beside a difference, which may come of it; a forged record may say it too, so that it excuses none."""
    here, there = (re.match(r"[a-z]+-v\d+", key) for key in (request.key, manifest.key))
    if not (here and there) or here[0] == there[0]:
        return ""
    return f"; {there[0]} made it, and this lorp has {here[0]}: audit it with the lorp that is named in its record"


def first_difference(recorded: Any, again: Any, where: str = "") -> str | None:
    """Where two JSON values differ by more than `TOLERANCE`, and how; None where they do not."""
    if isinstance(recorded, float) and isinstance(again, float | int):
        close = math.isclose(recorded, again, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return None if close else f"at {where or 'the value'}: {recorded!r} is recorded, {again!r} follows"
    if isinstance(recorded, dict) and isinstance(again, dict) and recorded.keys() == again.keys():
        pairs = [(f"{where}.{name}".lstrip("."), recorded[name], again[name]) for name in recorded]
    elif isinstance(recorded, list) and isinstance(again, list) and len(recorded) == len(again):
        pairs = [(f"{where}[{place}]", one, other) for place, (one, other) in enumerate(zip(recorded, again))]  # noqa: B905 - of one length
    else:
        return None if recorded == again else f"at {where or 'the value'}: {_short(recorded)} and {_short(again)}"
    return next((found for place, one, other in pairs if (found := first_difference(one, other, place))), None)


def _short(value: Any) -> str:
    return json.dumps(value)[:60]


def _same_inputs(request: Request, recorded: Mapping[str, Any]) -> bool:
    """Where a stage once ran is as recorded: it need not be here."""
    where = {name: recorded[name] for name in ("dtype", "device") if name in recorded}
    return digest_value({**request.inputs(), **where}) == digest_value(recorded)


def _pure(request: Request, vault: Vault) -> Again:
    return request, lambda: request.compute(vault, _NOWHERE)


def _score(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    shards = tuple(run.output(sha256) for sha256 in asked["windows"])
    return _pure(Score(shards=shards, seed=asked["seed"], by_corpus=asked["by_corpus"]), vault)


def _cluster(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    similarity = run.output(asked["similarity"])
    return _pure(Cluster(similarity=similarity, kind=asked["kind"], num_clusters=asked["num_clusters"]), vault)


def _plan(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    similarity, clustering = run.output(asked["similarity"]), run.output(asked["clustering"])
    return _pure(Plan(similarity=similarity, clustering=clustering, spec=run.spec.pruning, count=asked["count"]), vault)


def _search(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    request = Search(
        **_searching(run, asked),
        max_swaps=asked["max_swaps"],
        seed=asked["seed"],
        spec=run.spec.pruning,
        count=asked["count"],
        by_corpus=asked["by_corpus"],
    )

    def compute() -> Outputs:
        tried = _tried(manifest, vault)
        plan = make_plan(_grounds(request, tried, vault), request.count, request.spec)
        return request.found(vault, plan, tried)

    return request, compute


def _guess(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    request = GuessDepth(
        **_searching(run, asked),
        max_swaps=0,
        seed=0,
        max_perplexity_ratio=asked["max_perplexity_ratio"],
        max_perplexity=asked["max_perplexity"],
    )

    def compute() -> Outputs:
        depth = request.depth(_grounds(request, _tried(manifest, vault), vault))
        return {"depth": vault.put("values", encode(depth), ".json")}

    return request, compute


def _searching(run: RunRecord, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: run.output(asked[name]) for name in ("checkpoint", "similarity", "clustering", "windows")},
        "mended": asked["mend_ridge"] is not None,
        "compute_spec": ComputeSpec(),
        "stack": asked.get("stack"),
    }


def _tried(manifest: Manifest, vault: Vault) -> TriedPlans:
    return decode(TriedPlans, vault.read(manifest.outputs["trials"]))


def _grounds(request: Search | GuessDepth, tried: TriedPlans, vault: Vault) -> Grounds:
    return Grounds(
        similarity=decode(Similarity, vault.read(request.similarity)).block_inputs,
        clustering=decode(Clustering, vault.read(request.clustering)),
        trials=RecordedTrials(tried.score),
        confirming=RecordedTrials(tried.confirm),
        mended=tried.mended,
        max_swaps=request.max_swaps,
        seed=request.seed,
    )


def _mixtures(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    request = CompareMixtures(
        dense=run.output(asked["dense"]),
        tried=tuple(
            TriedMixture(
                mixture=tuple(each["mixture"]),
                similarity=_optional(run, each["similarity"]),
                candidate=_candidate(run, each["plan"], each["patch"]) if each["plan"] else None,
                losses=_optional(run, each["losses"]),
                refused=each["refused"],
            )
            for each in asked["tried"]
        ),
        count=asked["count"],
    )
    return _pure(request, vault)


def _frontier(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    weight_bytes = {
        point.removed: int(point.figures["weight_bytes"])
        for point in decode(Frontier, vault.read(manifest.outputs["frontier"])).points
    }

    def looked_at(point: Mapping[str, Any]) -> LookedAt:
        candidate = _candidate(run, point["plan"], point["patch"])
        return LookedAt(
            candidate=candidate,
            looks=tuple(run.output(sha256) for sha256 in point["looks"]),
            tasks=_optional(run, point["tasks"]),
            speed=_optional(run, point["speed"]),
            variant_bytes=weight_bytes[decode(PruningPlan, vault.read(candidate.plan)).removed],
        )

    request = DrawFrontier(
        dense=run.output(asked["dense"]),
        looked_at=tuple(map(looked_at, asked["points"])),
        chosen=asked["chosen"],
        num_planned=asked["num_planned"],
        gate_windows=asked["gate_windows"],
        gate=run.spec.gate,
    )
    return _pure(request, vault)


def _gate(run: RunRecord, manifest: Manifest, vault: Vault) -> Again:
    asked = manifest.inputs
    evaluations = {role: run.output(sha256) for role, sha256 in asked["evaluations"].items()}
    variant, dense = run.output(asked["variant"]), run.chain.checkpoint
    gate = Gate(
        variant=variant,
        evaluations=evaluations,
        spec=run.spec.gate,
        dense=dense,
        asked=_asked(run),
    )
    return _pure(gate, vault)


def _asked(run: RunRecord) -> Asked:
    evaluations = run.chain.evaluations
    return Asked(
        windows=evaluations["dense"].inputs["windows"],
        questions=evaluations["dense_tasks"].inputs["questions"] if "dense_tasks" in evaluations else None,
        num_prompts=run.spec.generation.num_prompts,
    )


def _candidate(run: RunRecord, plan: str, patch: str | None) -> Candidate:
    """A candidate of which only plan and patch are asked about."""
    found = run.output(plan)
    return Candidate(plan=found, stability=found, patch=_optional(run, patch), weights=None, variant=found)


def _optional(run: RunRecord, sha256: str | None) -> Reference | None:
    return run.output(sha256) if sha256 else None


_REBUILT: Mapping[str, Callable[[RunRecord, Manifest, Vault], Again]] = {
    "score": _score,
    "cluster": _cluster,
    "plan": _plan,
    "guess": _guess,
    "search": _search,
    "mixtures": _mixtures,
    "frontier": _frontier,
    "gate": _gate,
}
