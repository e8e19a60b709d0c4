"""Verdict -> MLflow: a run with parameters, metrics and report; for an approved variant also one model version.

Weights are not copied: a version's source is the variant's address in the store. However often it runs, and however
many do at once, a verdict has one run and at most one version. A rejected verdict has no way to a version.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from lorp.gate.strictness import as_strict, limits
from lorp.spec import GateSpec
from tasks.claims import Entry, Log, once, proposals
from tasks.registration import Registration
from tasks.registry_runs import FINISHED, experiment_of, settle_run, standing_run
from tasks.registry_versions import all_versions, settle_version, standing_version
from tasks.tracking import EXPERIMENT, asked, patiently
from tasks.vault import Vault, open_vault
from tasks.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What the registry holds of a verdict: the run's id, and the version of an approved variant."""

    run_id: str
    model_version: int | None


def register(workspace: Workspace, registration: Registration) -> Registered:
    """Finds or makes the run and, if approved, the model version of a verdict.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
        StoreError: The store, in which those who do it at once agree, cannot be used.
        OutageError: It does not answer.
    """
    vault = open_vault(workspace.store)
    return patiently(workspace, partial(_register, workspace, vault, registration))


def check_registry(workspace: Workspace) -> None:
    """Asks the registry something.

    Raises:
        RegistryError: It does not answer.
    """
    with asked(workspace) as client:
        client.search_experiments(max_results=1)


def _register(places: Workspace, vault: Vault, registration: Registration, client: MlflowClient) -> Registered:
    experiment = experiment_of(client, EXPERIMENT, places.artifacts)
    matter = _Matter(
        client=client, experiment=experiment, registration=registration, places=places, vault=vault,
        log=Log(store=vault.store, subject=_subject(client, experiment, registration)),
    )  # fmt: skip
    done = once(matter.log, matter.look, matter.act)
    _mark_looser_versions(client, registration, experiment)
    return done


def _subject(client: MlflowClient, experiment: str, registration: Registration) -> list[Any]:
    """A verdict under a name in one registry, which goes by its experiment: its address differs between machines."""
    made = client.get_experiment(experiment).creation_time
    return [registration.name, registration.verdict.id, experiment, made]


@dataclass(frozen=True, kw_only=True)
class _Matter:
    """The registration of one verdict."""

    client: MlflowClient
    experiment: str
    registration: Registration
    places: Workspace
    vault: Vault
    log: Log

    def look(self, entries: dict[int, Entry | None]) -> Registered | None:
        """What is registered, if all of it is."""
        verdict = self.registration.verdict
        run = standing_run(self.client, self.experiment, proposals(entries), verdict.id)
        if run is None or run.info.status != FINISHED:
            return None
        version = standing_version(self.client, self.registration) if verdict.approved else None
        if verdict.approved and version is None:
            return None
        return Registered(run_id=run.info.run_id, model_version=version)

    def act(self) -> Registered:
        """Registers what is not yet."""
        run_id = settle_run(self.client, self.experiment, self.registration, self.log, self.vault).info.run_id
        if not self.registration.verdict.approved:
            return Registered(run_id=run_id, model_version=None)
        version = settle_version(self.client, self.registration, run_id, self.places, self.vault)
        return Registered(run_id=run_id, model_version=version)


def _mark_looser_versions(client: MlflowClient, registration: Registration, experiment: str) -> None:
    """Tags every version of this variant on which another verdict was stricter.

    Stricter is an approval under tighter budgets, or a rejection under the same or tighter ones; of several, a
    rejection is named first. So such a version says so, whichever verdict came first.
    """
    versions = [entry for entry in all_versions(client, registration.name) if _concerns(entry, registration)]
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
