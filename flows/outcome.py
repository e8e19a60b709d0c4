"""A run's results in the store -> what it came to."""

import math
from dataclasses import asdict
from typing import Any

from flows.wording import Outcome
from lorp.checkpoint import open_checkpoint
from lorp.corpus.mixtures import names_of
from lorp.healing.patch import Patch
from lorp.search.frontier import Frontier
from tasks.register import RegisteredVerdict, Registering
from tasks.results import RunValues, read_values
from tasks.vault import Reference, Vault


def make_outcome(vault: Vault, request: Registering, done: RegisteredVerdict) -> Outcome:
    """Reads a run's results from the store."""
    results = request.results
    values = read_values(vault, results)
    verdict = values.verdict
    return Outcome(
        run=request.flow_run,
        source=request.spec.source,
        name=request.name,
        checkpoint=_checkpoint(vault, results.checkpoint) | {"num_blocks": values.plan.num_blocks},
        similarity=_similarity(values),
        calibrated_on=list(names_of(request.spec.calibration, results.mixture)),
        mixtures=asdict(values.mixtures) if values.mixtures else None,
        plan=_plan(values),
        frontier=_frontier(values.frontier),
        healing=_healing(values.patch),
        perplexity=perplexity(values),
        measured={name: _finite(value) for name, value in values.evidence.figures.items()},
        verdict={
            "id": verdict.id,
            "approved": verdict.approved,
            "criteria": [vars(criterion) for criterion in verdict.criteria],
        },
        variant=_checkpoint(vault, results.candidate.variant),
        model_version=done.registered.model_version,
        mlflow_run=done.registered.run_id,
        report=str(vault.store.local(done.report.key)),
        lineage=vault.store.address(done.lineage.key),
    )


def perplexity(values: RunValues) -> dict[str, float | None]:
    """Of dense model and variant, their ratio, and its upper bound."""
    ratio = next(criterion for criterion in values.verdict.criteria if criterion.name == "perplexity_ratio")
    return {
        "dense": _finite(values.evidence.dense.perplexity.perplexity),
        "pruned": _finite(values.evidence.pruned.perplexity.perplexity),
        "ratio": ratio.value,
        "upper_bound": ratio.bound,
    }


def _checkpoint(vault: Vault, reference: Reference) -> dict[str, Any]:
    weights = open_checkpoint(vault.folder(reference)).weight_bytes
    return {"uri": vault.store.address(reference.key), "digest": reference.sha256, "weight_bytes": weights}


def _similarity(values: RunValues) -> dict[str, Any]:
    similarity, clusters = values.similarity, values.clustering.clusters
    return {
        "rls": similarity.rls,
        "rls_interval": [similarity.rls_low, similarity.rls_high],
        "num_clusters": len(clusters),
        "clusters": [list(members) for members in clusters],
        "corpora": [vars(entry) for entry in similarity.corpora],
        "kinds": [{"kind": each.kind, "rls": each.rls, "num_tokens": each.num_tokens} for each in similarity.kinds],
    }


def _plan(values: RunValues) -> dict[str, Any]:
    plan = values.plan
    return {
        "method": plan.method,
        "removed": list(plan.removed),
        "kept": list(plan.kept),
        "stack": plan.stack,
        "stability": asdict(values.stability),
        "proposals": [vars(entry) for entry in plan.proposals],
    }


def _healing(patch: Patch | None) -> dict[str, Any]:
    if patch is None:
        return {"method": "none"}
    return {
        "method": patch.method,
        "repairs": [vars(entry) for entry in patch.repairs],
        "attempts": [vars(entry) for entry in patch.attempts],
    }


def _frontier(frontier: Frontier | None) -> dict[str, Any] | None:
    return asdict(frontier) | {"num_evaluated": frontier.num_evaluated} if frontier else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
