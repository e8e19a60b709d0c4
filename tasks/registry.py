"""Verdict -> MLflow: a run with parameters, metrics and report; for an approved variant also one model version.

Weights are not copied: a version's source is the variant's address in the store. However often it runs, a verdict has
one run and at most one version. A rejected verdict has no way to a version.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from sqlalchemy.exc import SQLAlchemyError

from lorp.gate import Verdict
from lorp.gate.strictness import as_strict, limits
from lorp.spec import GateSpec
from tasks.tracking import CANDIDATE, EXPERIMENT, LICENCE, unusable
from tasks.workspace import Workspace

_WAS_CANDIDATE = "lorp.was_candidate"
# What MLflow takes.
_MAX_DATASET_NAME, _MAX_DATASET_DIGEST, _MAX_METRIC_NAME = 500, 36, 200
_NOT_IN_METRICS = re.compile(r"[^\w.\- :/]", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class UsedWindows:
    """Windows, as a dataset of a run.

    Attributes:
        use: What for: `calibration`, `healing`, `evaluation` ...
        name: Of the corpus.
        sha256: Of the stored windows.
        source: Their address.
        num_windows: How many.
        window_tokens: Tokens of each.
    """

    use: str
    name: str
    sha256: str
    source: str
    num_windows: int
    window_tokens: int


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What is told to the registry.

    Attributes:
        name: Registered model's name.
        title: Run's name.
        headline: What was done and what the gate said, in a sentence.
        verdict: The verdict.
        gate: Its budgets.
        source: Address of the variant in the store.
        digests: sha256 by role: checkpoint, plan, variant and so on.
        parameters: Of the run, flat.
        metrics: Of the run, flat; finite.
        report: The page, a local file.
        card: The variant's model card.
        licence: The identifier of its source's licence, if that is known.
        datasets: The windows that were used.
    """

    name: str
    title: str
    headline: str
    verdict: Verdict
    gate: GateSpec
    source: str
    digests: dict[str, str]
    parameters: dict[str, str]
    metrics: dict[str, float]
    report: Path
    card: str
    licence: str | None = None
    datasets: tuple[UsedWindows, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What the registry holds of a verdict: the run's id, and the version of an approved variant."""

    run_id: str
    model_version: int | None


def register(workspace: Workspace, registration: Registration) -> Registered:
    """Finds or makes the run and, if approved, the model version of a verdict.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    try:
        client = MlflowClient(tracking_uri=workspace.tracking_uri)
        experiment = _experiment(client, workspace)
        run_id = _run(client, experiment, registration)
        version = _candidate(client, registration, run_id, workspace) if registration.verdict.approved else None
        _mark_looser_versions(client, registration, experiment)
    except (MlflowException, SQLAlchemyError, OSError) as fault:
        raise unusable(workspace.tracking_uri, fault) from fault
    return Registered(run_id=run_id, model_version=version)


def check_registry(workspace: Workspace) -> None:
    """Asks the registry something.

    Raises:
        RegistryError: It does not answer.
    """
    try:
        MlflowClient(tracking_uri=workspace.tracking_uri).search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as fault:
        raise unusable(workspace.tracking_uri, fault) from fault


def _run(client: MlflowClient, experiment: str, registration: Registration) -> str:
    verdict = registration.verdict.id
    wanted = f"tags.`lorp.verdict` = '{verdict}' and tags.`lorp.name` = '{registration.name}'"
    found = client.search_runs([experiment], wanted)
    run = found[0] if found else client.create_run(experiment, tags=_tags(registration), run_name=registration.title)
    if run.info.status != "FINISHED":
        _fill(client, run, registration)
    run_id: str = run.info.run_id
    return run_id


def _fill(client: MlflowClient, run: Run, registration: Registration) -> None:
    now = run.info.start_time
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(_metric_name(name), value, now, 0) for name, value in registration.metrics.items()],
        params=[Param(name, value) for name, value in registration.parameters.items() if name not in run.data.params],
        tags=[RunTag(MLFLOW_RUN_NOTE, registration.headline)]
        + [RunTag(name, value) for name, value in _tags(registration).items()],
    )
    client.log_inputs(run.info.run_id, [_dataset(windows) for windows in registration.datasets])
    client.log_artifact(run.info.run_id, str(registration.report), "report")
    client.log_text(run.info.run_id, registration.card, "README.md")
    client.set_terminated(run.info.run_id)


def _metric_name(name: str) -> str:
    """A name that MLflow takes: a task's name may hold anything that a file's may."""
    return _NOT_IN_METRICS.sub("_", name)[:_MAX_METRIC_NAME]


def _dataset(windows: UsedWindows) -> DatasetInput:
    profile = {"num_windows": windows.num_windows, "window_tokens": windows.window_tokens, "sha256": windows.sha256}
    dataset = Dataset(
        name=windows.name[:_MAX_DATASET_NAME],
        digest=windows.sha256[:_MAX_DATASET_DIGEST],
        source_type="lorp",
        source=json.dumps({"uri": windows.source}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", windows.use)])


def _experiment(client: MlflowClient, workspace: Workspace) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        made: str = client.create_experiment(EXPERIMENT, artifact_location=workspace.artifacts)
        return made
    experiment_id: str = found.experiment_id
    return experiment_id


def _candidate(client: MlflowClient, registration: Registration, run_id: str, workspace: Workspace) -> int:
    """The verdict's version, which becomes the candidate once: where the alias goes afterwards is for people to say."""
    version = _version(client, registration, run_id, workspace)
    if _WAS_CANDIDATE not in version.tags:
        client.set_registered_model_alias(registration.name, CANDIDATE, version.version)
        client.set_model_version_tag(registration.name, version.version, _WAS_CANDIDATE, "true")
    return int(version.version)


def _version(client: MlflowClient, registration: Registration, run_id: str, workspace: Workspace) -> ModelVersion:
    for version in _versions(client, registration.name):
        if version.tags.get("lorp.verdict") == registration.verdict.id:
            return version
    if not _has_model(client, registration.name):
        client.create_registered_model(registration.name)
    return client.create_model_version(
        registration.name,
        source=_source(registration.source, workspace),
        run_id=run_id,
        tags=_tags(registration),
        description=registration.headline,
    )


def _source(address: str, workspace: Workspace) -> str:
    """An MLflow server refuses local paths as sources, but not addresses of a scheme that it does not know."""
    return f"lorp-{address}" if address.startswith("file:") and workspace.tracking_uri.startswith("http") else address


def _mark_looser_versions(client: MlflowClient, registration: Registration, experiment: str) -> None:
    """Tags every version of this variant on which another verdict was stricter.

    Stricter is an approval under tighter budgets, or a rejection under the same or tighter ones; of several, a
    rejection is named first. So such a version says so, whichever verdict came first.
    """
    versions = [entry for entry in _versions(client, registration.name) if _concerns(entry, registration)]
    if not versions:
        return
    runs = client.search_runs(
        [experiment],
        f"tags.`lorp.variant` = '{registration.verdict.variant}' and tags.`lorp.name` = '{registration.name}'",
    )
    for version in versions:
        stricter = [run for run in runs if _stricter(run.data.tags, version.tags)]
        if stricter:
            _mark(client, version, min(stricter, key=_strictness))


def _mark(client: MlflowClient, version: ModelVersion, run: Run) -> None:
    for tag, value in (
        ("lorp.stricter_verdict", run.data.tags["lorp.verdict"]),
        ("lorp.stricter_verdict_approved", run.data.tags["lorp.approved"]),
    ):
        if version.tags.get(tag) != value:
            client.set_model_version_tag(version.name, version.version, tag, value)


def _concerns(version: ModelVersion, registration: Registration) -> bool:
    return bool(version.tags.get("lorp.variant") == registration.verdict.variant)


def _gate(tags: dict[str, Any]) -> GateSpec:
    return GateSpec.model_validate_json(tags["lorp.gate_spec"])


def _stricter(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether one verdict, by its tags, was stricter than another."""
    mine, theirs = _gate(one), _gate(other)
    if one["lorp.verdict"] == other["lorp.verdict"] or not as_strict(mine, theirs):
        return False
    return one["lorp.approved"] == "false" or not as_strict(theirs, mine)


def _strictness(run: Run) -> tuple[str, tuple[float, ...]]:
    """Rejections first ("false" sorts before "true"), then the tightest budgets."""
    return (run.data.tags["lorp.approved"], limits(_gate(run.data.tags)))


def _tags(registration: Registration) -> dict[str, str]:
    digests = {f"lorp.{role}": digest for role, digest in registration.digests.items()}
    licence = {LICENCE: registration.licence} if registration.licence else {}
    return {
        **digests,
        **licence,
        "lorp.name": registration.name,
        "lorp.verdict": registration.verdict.id,
        "lorp.approved": str(registration.verdict.approved).lower(),
        "lorp.gate_spec": registration.gate.model_dump_json(),
    }


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{name}'"))


def _has_model(client: MlflowClient, name: str) -> bool:
    return bool(client.search_registered_models(f"name = '{name}'"))
