"""Prefect's server, deployments and work pool -> what is the matter with them."""

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import prefect
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import Worker
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.utilities.callables import parameter_schema

from flows.installation.services import POOL
from lorp.errors import OutageError, without_passwords
from tasks.doctor.check import Finding, ok, warning

_SECONDS = 10
_ENTRYPOINT = re.compile(r"(?P<package>flows)/(?P<module>\w+)\.py:(?P<flow>\w+)")
_DEPLOY = "prefect deploy --all, in the folder of prefect.yaml"


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """A client of the configured server that gives up soon."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True, httpx_settings={"timeout": _SECONDS}) as client,
    ):
        yield client


def look_at_server() -> Iterator[Finding]:
    """Whether it answers, and is of this machine's version."""
    url = without_passwords(str(PREFECT_API_URL.value()))
    with server() as client:
        gone = client.api_healthcheck()
        if gone:
            raise OutageError(
                f"{url} does not answer: {str(gone) or type(gone).__name__}",
                "Look at PREFECT_API_URL and its server; prefect server start starts one",
            )
        found = client.api_version()
    if found.split(".")[:2] == prefect.__version__.split(".")[:2]:
        yield ok("prefect", f"the server {url} is Prefect {found}")
    else:
        what = f"the server {url} is Prefect {found}, and this machine has {prefect.__version__}"
        yield warning("prefect", what, f"Run the server with Prefect {prefect.__version__}")


def look_at_deployments() -> Iterator[Finding]:
    """Whether those of prefect.yaml are on the server, as they are here, and not paused."""
    asked = list(_deployments())
    if not asked:
        yield Finding(name="deployments", state="skipped", what="there is no prefect.yaml with flows of lorp here")
        return
    with server() as client:
        findings = list(_deployed(client, asked))
    yield from findings or [ok("deployments", f"the {len(asked)} of prefect.yaml are on the server, as they are here")]


def look_at_pool() -> Iterator[Finding]:
    """Whether the work pool is there, not paused, and has a worker."""
    with server() as client:
        try:
            pool = client.read_work_pool(POOL)
        except ObjectNotFound:
            what = f"there is no work pool {POOL}: nothing can be started as a deployment"
            yield warning("work pool", what, f"prefect work-pool create {POOL} --type process")
            return
        if pool.is_paused:
            yield warning("work pool", f"the work pool {POOL} is paused", f"prefect work-pool resume {POOL}")
        queues = client.request("POST", "/work_queues/filter", json={}).json()
        yield from _paused_queues(queue for queue in queues if queue["work_pool_name"] == POOL)
        yield _workers(client.read_workers_for_work_pool(POOL))


def _deployments() -> Iterator[tuple[str, Flow[..., Any], Mapping[str, Any]]]:
    """Name on the server, flow and entry in prefect.yaml: that of the working folder, or else of this checkout."""
    files = (Path("prefect.yaml"), Path(__file__).parents[2] / "prefect.yaml")
    file = next((file for file in files if file.is_file()), None)
    for entry in yaml.safe_load(file.read_text())["deployments"] if file else []:
        match = _ENTRYPOINT.fullmatch(entry["entrypoint"])
        if match:
            flow = getattr(importlib.import_module(f"flows.{match['module']}"), match["flow"])
            yield f"{flow.name}/{entry['name']}", flow, entry


def _deployed(
    client: SyncPrefectClient, asked: Iterable[tuple[str, Flow[..., Any], Mapping[str, Any]]]
) -> Iterator[Finding]:
    missing: list[str] = []
    others: list[str] = []
    for name, flow, entry in asked:
        try:
            found = client.read_deployment_by_name(name)
        except ObjectNotFound:
            missing.append(name)
            continue
        if not _same(found, flow, entry):
            others.append(name)
        yield from _paused(name, found, bool(entry.get("schedules")))
    if missing:
        yield warning("deployments", f"not on the server: {', '.join(missing)}", _DEPLOY)
    if others:
        what = f"on the server with other parameters or another entrypoint than here: {', '.join(others)}"
        yield warning("deployments", what, _DEPLOY)


def _same(found: DeploymentResponse, flow: Flow[..., Any], entry: Mapping[str, Any]) -> bool:
    schema = parameter_schema(flow).model_dump_for_openapi()
    return found.entrypoint == entry["entrypoint"] and found.parameter_openapi_schema == schema


def _paused(name: str, found: DeploymentResponse, scheduled: bool) -> Iterator[Finding]:
    if found.paused:
        yield warning("deployments", f"{name} is paused", "Resume it on its page in Prefect")
    if scheduled and not found.schedules:
        yield warning("deployments", f"{name} has no schedule on the server", _DEPLOY)
    for schedule in found.schedules:
        if not schedule.active:
            remedy = f"prefect deployment schedule resume {name} {schedule.id}"
            yield warning("deployments", f"the schedule of {name} is paused", remedy)


def _paused_queues(queues: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    for queue in queues:
        if queue["is_paused"]:
            remedy = f"prefect work-queue resume {queue['name']} --pool {POOL}"
            yield warning("work pool", f"the queue {queue['name']} is paused", remedy)


def _workers(workers: list[Worker]) -> Finding:
    online = [worker for worker in workers if worker.status == "ONLINE"]
    if len(online) > 1:
        what = f"{len(online)} workers are online; the server must be on PostgreSQL for more than one"
        return ok("work pool", what)
    if online:
        return ok("work pool", f"the worker {online[0].name} is online")
    beats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
    last = f"the last one was heard of {_ago(max(beats))} ago" if beats else "none ever was"
    return warning("work pool", f"no worker is online: {last}", f"prefect worker start --pool {POOL}")


def _ago(time: datetime) -> str:
    minutes = (datetime.now(UTC) - time).total_seconds() / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
