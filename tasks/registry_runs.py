"""A verdict's run in MLflow: found or made, agreed on, filled.

MLflow makes as many runs as it is asked for, and its client asks again where an answer was lost. Which of them is the
verdict's is settled in the claim's log: the first proposal that stands. The others are deleted before they were filled.
"""

import json
import re
from collections.abc import Iterable

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from lorp.errors import RegistryError
from tasks.claims import Log, proposals
from tasks.registration import Registration, UsedWindows
from tasks.tracking import already_there, not_there
from tasks.vault import Vault

# What MLflow takes.
_MAX_DATASET_NAME, _MAX_DATASET_DIGEST, _MAX_METRIC_NAME = 500, 36, 200
_NOT_IN_METRICS = re.compile(r"[^\w.\- :/]", re.ASCII)
_ATTEMPTS = 20  # of which each fails only if somebody else has got further meanwhile

FINISHED = "FINISHED"


def experiment_of(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """Id of an experiment, which is made if it is not there.

    Args:
        client: The registry's.
        name: The experiment's.
        artifacts: Where its files go, if the registry does not say so.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        with already_there():
            client.create_experiment(name, artifact_location=artifacts)
        found = client.get_experiment_by_name(name)
    if found is None:
        raise RegistryError(f"the experiment {name} is there and cannot be found", "Look at MLflow and its server")
    experiment_id: str = found.experiment_id
    return experiment_id


def standing_run(client: MlflowClient, experiment: str, proposed: Iterable[str], verdict: str) -> Run | None:
    """The first proposed run that there is; one that was deleted, or is of another registry, is none."""
    for run_id in proposed:
        run = _get(client, run_id)
        if run and run.info.experiment_id == experiment and run.data.tags.get("lorp.verdict") == verdict:
            return run
    return None


def settle_run(client: MlflowClient, experiment: str, registration: Registration, log: Log, vault: Vault) -> Run:
    """The verdict's one run, filled; found or made.

    Raises:
        RegistryError: None can be agreed on.
    """
    run = _agree(client, experiment, registration, log)
    for other in _runs(client, experiment, registration):
        if other.info.run_id != run.info.run_id and other.info.status != FINISHED:
            with not_there():
                client.delete_run(other.info.run_id)
    if run.info.status != FINISHED:
        _fill(client, run, registration, vault)
    return run


def _agree(client: MlflowClient, experiment: str, registration: Registration, log: Log) -> Run:
    for _ in range(_ATTEMPTS):
        entries = log.entries()
        run = standing_run(client, experiment, proposals(entries), registration.verdict.id)
        if run:
            return run
        found = _runs(client, experiment, registration)
        made = found[0] if found else _make(client, experiment, registration)
        log.add(entries, made.info.run_id)  # or somebody else has written: read again, either way
    raise RegistryError(f"no run of {registration.name} can be agreed on", "Look at MLflow, and run again")


def _make(client: MlflowClient, experiment: str, registration: Registration) -> Run:
    return client.create_run(experiment, tags=registration.tags, run_name=registration.title)


def _runs(client: MlflowClient, experiment: str, registration: Registration) -> list[Run]:
    """All of a verdict, finished ones and then the oldest first."""
    wanted = f"tags.`lorp.verdict` = '{registration.verdict.id}' and tags.`lorp.name` = '{registration.name}'"
    return sorted(client.search_runs([experiment], wanted), key=_place)


def _place(run: Run) -> tuple[bool, int, str]:
    return (run.info.status != FINISHED, run.info.start_time, run.info.run_id)


def _get(client: MlflowClient, run_id: str) -> Run | None:
    try:
        run = client.get_run(run_id)
    except MlflowException as fault:
        if fault.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return run if run.info.lifecycle_stage == LifecycleStage.ACTIVE else None


def _fill(client: MlflowClient, run: Run, registration: Registration, vault: Vault) -> None:
    now = run.info.start_time
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(_metric_name(name), value, now, 0) for name, value in registration.metrics.items()],
        params=[Param(name, value) for name, value in registration.parameters.items() if name not in run.data.params],
        tags=[RunTag(MLFLOW_RUN_NOTE, registration.headline)]
        + [RunTag(name, value) for name, value in registration.tags.items()],
    )
    client.log_inputs(run.info.run_id, [_dataset(windows) for windows in registration.datasets])
    client.log_artifact(run.info.run_id, str(registration.report), "report")
    with vault.scratch() as folder:  # swept if this process is killed, which MLflow's own is not
        (folder / "README.md").write_text(registration.card)
        client.log_artifact(run.info.run_id, str(folder / "README.md"))
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
