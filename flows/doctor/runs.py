"""Prefect's runs and automations -> which of them need a person."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.events.schemas.automations import Automation, AutomationCore

from flows.doctor.server import deployed_from, server
from flows.installation.deploying import AUTOMATIONS
from flows.running import FLOWS
from tasks.doctor.check import Finding, ok, warning

_SILENCE = timedelta(minutes=10)  # Prefect's own default is a heartbeat every three


def look_at_automations() -> Iterator[Finding]:
    """Whether runs whose machine has died are noticed: the automations of the checkout, all there, so, and enabled."""
    folder = deployed_from()
    if not folder:
        yield Finding(name="automations", state="skipped", what="there is no prefect.yaml with flows of lorp here")
        return
    file = folder / AUTOMATIONS
    wanted = [AutomationCore.model_validate(each) for each in yaml.safe_load(file.read_text())["automations"]]
    with server() as client:
        found = {each.name: client.read_automations_by_name(each.name) for each in wanted}
    findings = [*_missing(file, found), *_others(file, wanted, found), *_paused(found)]
    yield from findings or [ok("automations", f"on the server: {', '.join(found)}")]


def _missing(file: Path, found: Mapping[str, Sequence[Automation]]) -> Iterator[Finding]:
    names = [name for name, automations in found.items() if not automations]
    if names:
        what = f"not on the server: {', '.join(names)}; a run whose machine dies would not be noticed"
        one_by_one = f"Create what is missing as it stands in {file}; lorp up does"
        yield warning("automations", what, _create(file) if len(names) == len(found) else one_by_one)


def _others(
    file: Path, wanted: Sequence[AutomationCore], found: Mapping[str, Sequence[Automation]]
) -> Iterator[Finding]:
    """Those that do something else. Prefect updates none from a file with several: all of it are made anew."""
    names = [each.name for each in wanted if any(_does(other) != _does(each) for other in found[each.name])]
    if names:
        ids = [automation.id for automations in found.values() for automation in automations]
        remedy = " && ".join([*(f"prefect automation delete --id {each}" for each in ids), _create(file)])
        what = f"on the server with another trigger or other actions than in {file}: {', '.join(names)}"
        yield warning("automations", what, remedy)


def _does(automation: AutomationCore) -> tuple[object, object]:
    return automation.trigger, automation.actions


def _create(file: Path) -> str:
    return f"prefect automation create --from-file {shlex.quote(str(file))}"


def _paused(found: Mapping[str, Sequence[Automation]]) -> Iterator[Finding]:
    for name, automations in found.items():
        if automations and not any(automation.enabled for automation in automations):
            remedy = f"prefect automation resume --id {automations[0].id}"
            yield warning("automations", f"{name} is paused", remedy)


def look_at_runs() -> Iterator[Finding]:
    """Runs that are late, silent, or wait for a person."""
    with server() as client:
        findings = [*_late(client), *_silent(client)]
        yield from findings or [ok("runs", "none is late, and none has fallen silent")]
        waiting = _runs(client, ["promote"], name="Suspended")
    if waiting:
        yield ok("promotions", f"waiting for a person's approval: {', '.join(run.name for run in waiting)}")


def look_at_parked() -> Iterator[Finding]:
    """Checkpoints whose last attempt has failed, by the newest look of every watcher."""
    with server() as client:
        looks = _runs(client, ["watch"], type_=StateType.COMPLETED)
        newest = {look.deployment_id: look for look in reversed(looks)}.values()
        parked = [look for look in newest if look.state_name == "Parked"]
        rows = [row for look in parked for row in _seen(client, look) if row["standing"] == "parked"]
    for row in rows:
        what = f"{row['address']} is parked after {row['attempt']} attempts: {row['reason']}"
        yield warning("watch", what, f"Mend the cause, then: prefect flow-run retry {row['run']}")
    if not rows:
        yield ok("watch", "no checkpoint is parked")


def _late(client: SyncPrefectClient) -> Iterator[Finding]:
    late = _runs(client, [*FLOWS], name="Late")
    if late:
        yield warning("runs", f"{len(late)} are late", "Start more workers, or one where there is none")


def _silent(client: SyncPrefectClient) -> Iterator[Finding]:
    for run in _runs(client, [*FLOWS], type_=StateType.RUNNING):
        heard = _last_heartbeat(client, run)
        if heard and datetime.now(UTC) - heard > _SILENCE:
            yield warning(
                "runs",
                f"{run.name} of {run.id} is Running, and was last heard of at {heard:%Y-%m-%d %H:%M} UTC",
                "If its machine is gone, set its state to Crashed on its page in Prefect",
            )


def _last_heartbeat(client: SyncPrefectClient, run: FlowRun) -> datetime | None:
    asked = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    found = client.read_events(asked, limit=1).events
    return found[0].occurred if found else None


def _runs(
    client: SyncPrefectClient, flows: list[str], *, name: str | None = None, type_: StateType | None = None
) -> list[FlowRun]:
    """The newest runs of these flows in a state, the last to have ended first."""
    state = FlowRunFilterState(
        name=FlowRunFilterStateName(any_=[name]) if name else None,
        type=FlowRunFilterStateType(any_=[type_]) if type_ else None,
    )
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=flows)),
        flow_run_filter=FlowRunFilter(state=state),
        sort=FlowRunSort.END_TIME_DESC,
    )


def _seen(client: SyncPrefectClient, look: FlowRun) -> list[dict[str, Any]]:
    """The table that a look has left."""
    asked = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[look.id]), key=ArtifactFilterKey(any_=["watch"]))
    return [row for found in client.read_artifacts(artifact_filter=asked) for row in json.loads(str(found.data))]
