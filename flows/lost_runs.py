"""Runs whose process or worker has died without the server's notice are ended there, so that they free their slots.

The automations do the same, sooner; but what they wait for is in the server's memory, and is gone when that is killed.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

#: Sends JSON to a path of Prefect's API, by POST; whoever makes it says to which server.
Ask = Callable[[str, Any], httpx.Response]

_TAG = "lorp"
_AT_MOST = 200
#: Further than any run goes on, and any clock of a machine that works is wrong.
_CLOCKS = timedelta(days=1000)


def end_lost_runs(ask: Ask, not_started: timedelta, silent: timedelta) -> list[str]:
    """Looks at lorp's runs that the server counts as under way; times are the server's own, by its answers.

    Args:
        ask: Asks the server.
        not_started: A run that is Pending for longer has lost its worker.
        silent: A run that runs, or is being cancelled, and has sent no heartbeat for longer has lost its process.

    Returns:
        Names of those that are Crashed now, or Cancelled if that was asked for.

    Raises:
        httpx.HTTPError: The server does not answer.
    """
    answer = ask("/flow_runs/filter", _under_way())
    now = parsedate_to_datetime(answer.headers["date"])
    lost = list(_lost(ask, answer.json(), now - not_started, now - silent))
    return [run["name"] for run, why in lost if _end(ask, run, why)]


def _under_way() -> dict[str, Any]:
    types = ["PENDING", "RUNNING", "CANCELLING"]
    return {"flow_runs": {"tags": {"all_": [_TAG]}, "state": {"type": {"any_": types}}}, "limit": _AT_MOST}


def _lost(
    ask: Ask, runs: list[dict[str, Any]], started_before: datetime, heard_before: datetime
) -> Iterator[tuple[dict[str, Any], str]]:
    for run in runs:
        since = _time(run["state"]["timestamp"])
        if run["state"]["type"] == "PENDING":
            if since < started_before:
                yield run, "Not started for long; its worker has died."
        elif since < heard_before and _last_heartbeat(ask, run["id"], since) < heard_before:
            yield run, "No sign of life for long; its process has died."


def _last_heartbeat(ask: Ask, run: str, since: datetime) -> datetime:
    """When the server had it, whatever the clock says of the machine that sent it."""
    events = {
        "resource": {"id": [f"prefect.flow-run.{run}"]},
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "occurred": {"since": str(since - _CLOCKS), "until": str(since + _CLOCKS)},
        "order": "DESC",
    }
    found = ask("/events/filter", {"filter": events, "limit": 1}).json()["events"]
    return max(since, _time(found[0]["received"])) if found else since


def _end(ask: Ask, run: dict[str, Any], why: str) -> bool:
    name = "Cancelled" if run["state"]["type"] == "CANCELLING" else "Crashed"
    state = {"type": name.upper(), "name": name, "message": why}
    answer = ask(f"/flow_runs/{run['id']}/set_state", {"state": state})
    return bool(answer.json()["status"] == "ACCEPT")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
