"""Prefect's server, deployments and work pool -> what is the matter with them."""

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
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
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from flows.installation.deploying import AUTOMATIONS
from flows.installation.services import POOL
from flows.running import FLOWS
from lorp.errors import OutageError, without_passwords
from tasks.doctor.check import Finding, ok, warning

_SECONDS = 10
_ENTRYPOINT = re.compile(rf"flows[/.](?P<module>{'|'.join(FLOWS)})(?:\.py)?:(?P<flow>\w+)")
_DEPLOY = "prefect deploy --all, in the folder of prefect.yaml"


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """A client of the configured server that gives up soon."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True, httpx_settings={"timeout": _SECONDS}) as client,
    ):
        yield client


def deployed_from() -> Path | None:
    """The folder with lorp's prefect.yaml and automations: the working folder, or else this checkout."""
    folders = (Path(), Path(__file__).parents[2])
    return next((folder for folder in folders if (folder / AUTOMATIONS).is_file() and _entries(folder)), None)


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
    """Name on the server, flow and entry in prefect.yaml."""
    folder = deployed_from()
    for module, function, entry in _entries(folder) if folder else []:
        flow = getattr(importlib.import_module(f"flows.{module}"), function)
        yield f"{flow.name}/{entry['name']}", flow, entry


def _entries(folder: Path) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Module, function and entry of every flow of lorp in a folder's prefect.yaml; none where there is no such file."""
    file = folder / "prefect.yaml"
    entries = (yaml.safe_load(file.read_text()) or {}).get("deployments") or [] if file.is_file() else []
    matches = [(_ENTRYPOINT.fullmatch(entry.get("entrypoint") or ""), entry) for entry in entries]
    return [(match["module"], match["flow"], entry) for match, entry in matches if match]


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
        parts = list(_others(found, flow, entry))
        if parts:
            others.append(f"{name} ({', '.join(parts)})")
        yield from _paused(name, found)
    if missing:
        yield warning("deployments", f"not on the server: {', '.join(missing)}", _DEPLOY)
    if others:
        yield warning("deployments", f"not on the server as they are here: {', '.join(others)}", _DEPLOY)


def _others(found: DeploymentResponse, flow: Flow[..., Any], entry: Mapping[str, Any]) -> Iterator[str]:
    """The parts that are others on the server; none that Prefect fills in as it deploys, and no limit of one's own."""
    pool = entry.get("work_pool") or {}
    limit = _limit(found)
    parts = {
        "entrypoint": (entry["entrypoint"], found.entrypoint),
        "flow's parameters": (parameter_schema(flow).model_dump_for_openapi(), found.parameter_openapi_schema),
        "parameters": (entry.get("parameters") or {}, found.parameters),
        "tags": (sorted(entry.get("tags") or []), sorted(found.tags)),
        "work pool": (pool.get("name") or found.work_pool_name, found.work_pool_name),
        "queue": (pool.get("work_queue_name") or found.work_queue_name, found.work_queue_name),
        "job variables": (pool.get("job_variables") or {}, found.job_variables),
        "concurrency limit": (limit | _asked_limit(entry), limit),
        "schedules": (_asked_times(entry) or _times(found), _times(found)),
    }
    for part, (here, there) in parts.items():
        if to_jsonable_python(here) != there and "{{" not in str(here):
            yield part


def _limit(found: DeploymentResponse) -> dict[str, Any]:
    limit, options = found.global_concurrency_limit, found.concurrency_options
    return {"limit": limit.limit if limit else None, **(options.model_dump(mode="json") if options else {})}


def _asked_limit(entry: Mapping[str, Any]) -> dict[str, Any]:
    asked = entry.get("concurrency_limit") or {}
    return dict(asked) if isinstance(asked, Mapping) else {"limit": asked}


def _times(found: DeploymentResponse) -> list[str]:
    """Of its schedules; `other` for one that has neither interval nor cron."""
    schedules = [each.schedule for each in found.schedules]
    return sorted(str(getattr(each, "interval", None) or getattr(each, "cron", "other")) for each in schedules)


def _asked_times(entry: Mapping[str, Any]) -> list[str]:
    return sorted(str(_interval(each) or each.get("cron") or "other") for each in entry.get("schedules") or [])


def _interval(schedule: Mapping[str, Any]) -> Any:
    """As Prefect takes it: a number of seconds, or text; a template stays one."""
    asked = schedule.get("interval")
    return asked if asked is None or "{{" in str(asked) else TypeAdapter(timedelta).validate_python(asked)


def _paused(name: str, found: DeploymentResponse) -> Iterator[Finding]:
    if found.paused:
        yield warning("deployments", f"{name} is paused", "Resume it on its page in Prefect")
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
