"""Prefect's server, if one is set -> flow runs of lorp's that are under way, wait for a person, or went wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from lorp.errors import OutageError

#: Names of the flows.
FLOWS = ("recompress", "sweep", "watch", "promote", "rollback", "reconcile")
_UNDER_WAY = [StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
_TO_COME = [StateType.PENDING, StateType.SCHEDULED]
_WENT_WRONG = [StateType.FAILED, StateType.CRASHED]
_AT_MOST = 200


@dataclass(frozen=True, kw_only=True)
class RunSeen:
    """A flow run.

    Attributes:
        flow: The flow's name.
        name: The run's.
        id: Its id.
        state: Its state's name.
        since: When it came into that state, or is to begin; UTC, ISO 8601.
        message: What the state says.
        page: Its page in Prefect.
        times: How many such runs there were; this is the newest, or of those to come the first.
    """

    flow: str
    name: str
    id: str
    state: str
    since: str
    message: str
    page: str | None
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class Running:
    """What Prefect knows.

    Attributes:
        server: The address of its API.
        going_on: Runs that are running, and those to come: of each flow the first of what is scheduled, and of what is
            late or waits for a slot, with how many there are.
        waiting: Runs that wait for a person.
        failed: Runs that failed or crashed, or looks that found a parked checkpoint, in the last day.
    """

    server: str
    going_on: tuple[RunSeen, ...]
    waiting: tuple[RunSeen, ...]
    failed: tuple[RunSeen, ...]


def running(now: datetime) -> Running | None:
    """Asks the server that is set; None if none is, and none is started.

    Raises:
        OutageError: It does not answer.
    """
    server = PREFECT_API_URL.value()
    if not server:
        return None
    try:
        with get_client(sync_client=True) as client:
            flows = {flow.id: flow.name for flow in client.read_flows(flow_filter=_ours())}
            oldest, newest = FlowRunSort.EXPECTED_START_TIME_ASC, FlowRunSort.EXPECTED_START_TIME_DESC
            under_way = _seen(flows, _runs(client, _UNDER_WAY, (), oldest))
            to_come = _seen(flows, _runs(client, _TO_COME, (), oldest))
            failed = [*_runs(client, _WENT_WRONG, (), newest), *_runs(client, (), ["Parked"], newest)]
    except (httpx.HTTPError, RuntimeError) as fault:
        said = str(fault) or type(fault).__name__
        raise OutageError(f"Prefect at {server} cannot be asked: {said[:300]}", "Look at PREFECT_API_URL") from None
    lately = [run for run in failed if run.state and run.state.timestamp >= now - timedelta(days=1)]
    waiting = tuple(run for run in under_way if run.state in ("Suspended", "Paused"))
    return Running(
        server=server,
        going_on=(*(run for run in under_way if run not in waiting), *_first_ones(to_come)),
        waiting=waiting,
        failed=_counted(_seen(flows, lately)),
    )


def _ours() -> FlowFilter:
    return FlowFilter(name=FlowFilterName(any_=list(FLOWS)))


def _runs(
    client: SyncPrefectClient, types: Sequence[StateType], names: Sequence[str], sort: FlowRunSort
) -> list[FlowRun]:
    state = FlowRunFilterState(
        type=FlowRunFilterStateType(any_=list(types)) if types else None,
        name=FlowRunFilterStateName(any_=list(names)) if names else None,
    )
    return client.read_flow_runs(
        flow_filter=_ours(), flow_run_filter=FlowRunFilter(state=state), sort=sort, limit=_AT_MOST
    )


def _seen(flows: dict[UUID, str], runs: Iterable[FlowRun]) -> list[RunSeen]:
    return [_run(flows.get(run.flow_id, ""), run) for run in runs]


def _run(flow: str, run: FlowRun) -> RunSeen:
    state = run.state
    when = run.expected_start_time if state and state.is_scheduled() else state.timestamp if state else None
    return RunSeen(
        flow=flow,
        name=run.name,
        id=str(run.id),
        state=(state.name if state else "") or "",
        since=when.astimezone(UTC).isoformat(timespec="seconds") if when else "",
        message=(state.message if state else "") or "",
        page=url_for("flow-run", obj_id=run.id),
    )


def _first_ones(runs: Iterable[RunSeen]) -> tuple[RunSeen, ...]:
    """The first of each flow and state, and how many there are; how many are scheduled says nothing."""
    first: dict[tuple[str, str], RunSeen] = {}
    for run in runs:
        what = (run.flow, run.state)
        known = first.setdefault(what, run)
        if known is not run and run.state != "Scheduled":
            first[what] = replace(known, times=known.times + 1)
    return tuple(first.values())


def _counted(runs: Iterable[RunSeen]) -> tuple[RunSeen, ...]:
    """Those that say the same, such as every look at a parked checkpoint, once."""
    newest: dict[tuple[str, str, str], RunSeen] = {}
    for run in runs:
        what = (run.flow, run.state, run.message)
        newest[what] = replace(newest[what], times=newest[what].times + 1) if what in newest else run
    return tuple(newest.values())
