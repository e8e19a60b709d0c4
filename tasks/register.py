"""The last stage: report page, registration of the verdict, lineage record, a new version's entry in the ledger.

It always asks the registry, which may have lost what the store remembers; it changes nothing that is there already.
"""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lorp.corpus.mixtures import names_of
from lorp.errors import IntegrityError
from lorp.gate import Verdict
from lorp.ledger import Change, Standing
from lorp.names import without_paths
from lorp.report.text import headline
from lorp.spec import RecompressSpec
from tasks.cache import outside
from tasks.gate import Asked, Gate, check_follows
from tasks.ledger import record
from tasks.lineage import Lineage
from tasks.registration import Registration, UsedWindows
from tasks.registry import Registered, register
from tasks.report import Pages, make_pages
from tasks.results import RunResults, RunValues, read_values
from tasks.signing import STATEMENT, sign
from tasks.stage import run_stage
from tasks.vault import Manifest, Reference, Vault, open_vault
from tasks.windows import WindowsUse, of_evaluation
from tasks.workspace import Workspace

LOGGER = logging.getLogger("lorp.register")


@dataclass(frozen=True, kw_only=True)
class Registering:
    """One verdict to register, with all that led to it."""

    spec: RecompressSpec
    name: str
    results: RunResults
    stages: tuple[Manifest, ...]
    flow_run: str


@dataclass(frozen=True, kw_only=True)
class RegisteredVerdict:
    """What became of it."""

    registered: Registered
    report: Reference
    lineage: Reference


@outside("register", "register")
def register_verdict(places: Workspace, request: Registering) -> RegisteredVerdict:
    """Registers once, however often it runs.

    Raises:
        IntegrityError: A stage's result is no longer in the store, or the verdict does not follow from the evaluations.
        RegistryError: MLflow refuses or cannot be reached.
    """
    vault = open_vault(places.store)
    _check_stands(vault, request.stages)
    values = read_values(vault, request.results)
    _check_verdict(vault, request, values.verdict)
    pages = make_pages(vault, request.spec, request.name, request.results, values, request.stages)
    registered = register(places, _registration(vault, request, values, pages))
    lineage = Lineage(
        spec=request.spec,
        name=request.name,
        stages=request.stages,
        results=request.results,
        pages=pages,
        registered=registered,
        flow_run=request.flow_run,
    )
    done = run_stage(vault, lineage)
    sign(vault.store, vault.read(done.outputs["lineage"]), STATEMENT)
    _enter(vault, request, registered, values.verdict, done.outputs["lineage"])
    LOGGER.info("register: %s, version %s", request.name, registered.model_version or "none")
    return RegisteredVerdict(registered=registered, report=done.outputs["report"], lineage=done.outputs["lineage"])


def _check_stands(vault: Vault, stages: Iterable[Manifest]) -> None:
    """All that lineage will name is still there: nothing was removed while the run had it in hand."""
    gone = next((manifest.key for manifest in stages if not vault.holds(manifest.key)), None)
    if gone:
        raise IntegrityError(f"the result of {gone} is gone", "Run again to make it anew")


def _check_verdict(vault: Vault, request: Registering, verdict: Verdict) -> None:
    """Judges once more: what is registered is not what lies in the store as a verdict, but what the evaluations say."""
    results = request.results
    gate = Gate(
        variant=results.candidate.variant,
        evaluations=results.evaluations,
        spec=request.spec.gate,
        dense=results.checkpoint,
        asked=Asked.of(results.windows["evaluation"], results.questions, request.spec.generation.num_prompts),
    )
    check_follows(verdict, gate, vault)


def _enter(vault: Vault, request: Registering, registered: Registered, verdict: Verdict, lineage: Reference) -> None:
    """Writes a new version, or a rejection, into the ledger; what is there already stays as it is."""
    change = Change(
        act="registered" if verdict.approved else "rejected",
        version=registered.model_version,
        variant=verdict.variant,
        verdict=verdict.id,
        lineage=lineage.sha256,
        flow_run=request.flow_run,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    record(vault, request.name, lambda now: _missing(now, change))


def _missing(now: Standing, change: Change) -> Change | None:
    """The change, unless the ledger has it, or a version of that number."""
    if change.version is None:
        return None if change.lineage in now.rejections else change
    known = now.versions.get(change.version)
    if known is not None and known.verdict != change.verdict:
        LOGGER.warning(
            "version %d is not entered in the ledger, which has another version %d from another registry: "
            "it cannot be promoted. Give another --name, or use the registry that the ledger was begun with",
            change.version,
            change.version,
        )
    return None if known else change


def _registration(vault: Vault, request: Registering, values: RunValues, pages: Pages) -> Registration:
    spec, results = request.spec, request.results
    plan = values.plan
    return Registration(
        name=request.name,
        title=f"{request.name} remove {len(plan.removed)} {plan.method}",
        headline=headline(plan, values.verdict),
        verdict=values.verdict,
        gate=spec.gate,
        source=vault.store.address(results.candidate.variant.key),
        digests=results.digests() | {"report": pages.report.sha256, "card": pages.card.sha256},
        parameters=_flat(without_paths(spec).model_dump(mode="json"))
        | {"removed": str(list(plan.removed)), "calibrated_on": _calibrated_on(request)},
        metrics={name: value for name, value in _metrics(results, values).items() if math.isfinite(value)},
        report=vault.store.local(pages.report.key),
        card=vault.read(pages.card).decode(),
        licence=pages.licence,
        datasets=tuple(_windows(vault, use, windows, request) for use, windows in results.windows.items()),
    )


def _calibrated_on(request: Registering) -> str:
    return ", ".join(names_of(without_paths(request.spec).calibration, request.results.mixture))


def _windows(vault: Vault, use: WindowsUse, windows: Reference, request: Registering) -> UsedWindows:
    spec = without_paths(request.spec)
    text = spec.evaluation if of_evaluation(use) else spec.calibration
    corpora = ", ".join(spec.evaluation.corpora) if of_evaluation(use) else _calibrated_on(request)
    return UsedWindows(
        use=use,
        name=f"{corpora} ({use})",
        sha256=windows.sha256,
        source=vault.store.address(windows.key),
        num_windows=num_windows(json.loads(vault.read(windows))),
        window_tokens=text.window_tokens,
    )


def num_windows(value: Any) -> int:
    """Windows in a stored value, whatever their use."""
    if isinstance(value, dict):
        return 1 if "tokens" in value else num_windows(list(value.values()))
    return sum(map(num_windows, value)) if isinstance(value, list) else 0


def _metrics(results: RunResults, values: RunValues) -> dict[str, float]:
    criteria = values.verdict.criteria
    ends = {"at most": "upper", "at least": "lower"}
    bounds = {f"{entry.name}_{ends[entry.side]}_bound": entry.bound for entry in criteria}
    estimates = {entry.name: entry.value for entry in criteria}
    measured = {name: value for name, value in (estimates | bounds).items() if value is not None}
    return measured | {
        "rls": values.similarity.rls,
        "num_clusters": len(values.clustering.clusters),
        **values.evidence.figures,
        "checkpoint_bytes": results.checkpoint.bytes,
        "variant_bytes": results.candidate.variant.bytes,
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat
