"""The deployments of `prefect.yaml` on a real server, run by a real worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from prefect.events.schemas.events import Event, Resource
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Completed, Pending, Running, Scheduled, State, Suspended
from servers import background, free_port, wait_for

from flows import up
from flows.doctor.prefect import prefect_checks
from flows.installation.services import Services, UpSpec
from flows.lost_runs import end_lost_runs
from flows.reconcile import run_reconcile
from flows.wording import reconcile_summary
from tasks.doctor.check import Finding, examine
from tasks.ledger import read_ledger
from tasks.vault import open_vault
from tasks.workspace import workspace

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Prefect server of its own with all deployments, and how to talk to it."""

    api: str
    environment: dict[str, str]

    def run(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Starts a run of a deployment; its id."""
        found = httpx.get(f"{self.api}/deployments/name/{deployment}", timeout=60).json()
        started = httpx.post(
            f"{self.api}/deployments/{found['id']}/create_flow_run", json={"parameters": parameters}, timeout=60
        )
        return str(started.json()["id"])

    def state(self, run: str, *wanted: str) -> dict[str, Any]:
        """A run's state, once its name is one of these; it may take three minutes."""
        for _ in range(180):
            state: dict[str, Any] = httpx.get(f"{self.api}/flow_runs/{run}", timeout=60).json()["state"]
            if state["name"] in wanted:
                return state
            time.sleep(1)
        raise TimeoutError(state)

    def resume(self, run: str, **said: object) -> dict[str, Any]:
        """Answers a run's form; what the server says to that."""
        answer = httpx.post(f"{self.api}/flow_runs/{run}/resume", json={"run_input": said}, timeout=60)
        return dict(answer.json())

    def call(self, *command: object) -> str:
        """Runs a command against the server; its standard output."""
        done = subprocess.run(
            [str(part) for part in command], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("deployed")
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": api,
        "LORP_HOME": str(home / "lorp"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    start = (BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port)
    with background(*start, environment=environment, log=home / "server.log"):
        wait_for(f"{api}/health")
        started = Server(api=api, environment=environment)
        started.call(BIN / "prefect", "work-pool", "create", "lorp", "--type", "process")
        started.call(BIN / "prefect", "--no-prompt", "deploy", "--all")
        yield started
        # What this process still has to tell it would be tried for ever once it is gone.
        EventsWorker.drain_all()


def doctor(server: Server) -> dict[str, list[Finding]]:
    """What is found of a server, by name."""
    with temporary_settings({PREFECT_API_URL: server.api}):
        findings = examine(prefect_checks())
    return {name: [each for each in findings if each.name == name] for name in {each.name for each in findings}}


def automations(server: Server) -> list[dict[str, Any]]:
    """Those of a server, by name."""
    found = httpx.post(f"{server.api}/automations/filter", json={}, timeout=60).json()
    return sorted(found, key=lambda automation: str(automation["name"]))


def only(findings: list[Finding], state: str, words: str, remedy: str) -> None:
    """Makes sure that there is one finding, of this kind."""
    [finding] = findings
    assert (finding.state, words in finding.what, remedy in finding.remedy) == (state, True, True), finding


def eventually(server: Server, name: str, words: str) -> list[Finding]:
    """What is found, once one finding says so; it may take a minute."""
    for _ in range(60):
        found = doctor(server)[name]
        if any(words in finding.what for finding in found):
            return found
        time.sleep(1)
    raise TimeoutError(found)


def test_the_doctor_knows_what_is_deployed_and_who_works(server: Server, tmp_path: Path) -> None:
    found = doctor(server)
    assert found["prefect"][0].state == "ok"
    only(found["deployments"], "ok", "the 6 of prefect.yaml", "")
    only(found["work pool"], "warning", "no worker is online", "prefect worker start --pool lorp")
    watching = httpx.get(f"{server.api}/deployments/name/watch/watch", timeout=60).json()
    own, [schedule] = f"{server.api}/deployments/{watching['id']}", watching["schedules"]
    server.call(BIN / "prefect", "deployment", "schedule", "pause", "watch/watch", schedule["id"])
    server.call(BIN / "prefect", "work-queue", "pause", "production", "--pool", "lorp")
    httpx.patch(own, json={"entrypoint": "flows/watch.py:elsewhere"}, timeout=60).raise_for_status()
    with background(
        BIN / "prefect", "worker", "start", "--pool", "lorp", "--name", "ada", environment=server.environment,
        log=tmp_path / "log", cwd=ROOT,
    ):  # fmt: skip
        eventually(server, "work pool", "the worker ada is online")
        found = doctor(server)
        paused, other = found["deployments"]
        resume = f"prefect deployment schedule resume watch/watch {schedule['id']}"
        only([paused], "warning", "the schedule of watch/watch is paused", resume)
        only([other], "warning", "not on the server as they are here: watch/watch (entrypoint)", "prefect deploy --all")
        queue, _ = found["work pool"]
        only([queue], "warning", "the queue production is paused", "prefect work-queue resume production --pool lorp")
        httpx.patch(own, json={"entrypoint": watching["entrypoint"]}, timeout=60).raise_for_status()
        for finding in (paused, queue):
            server.call(BIN / "prefect", *finding.remedy.split()[1:])
        found = doctor(server)
        assert [each.state for name in ("deployments", "work pool") for each in found[name]] == ["ok", "ok"]


def test_the_doctor_names_the_parts_of_a_deployment_that_are_others(server: Server) -> None:
    promoting, recompressing, watching = (
        httpx.get(f"{server.api}/deployments/name/{name}/{name}", timeout=60).json()
        for name in ("promote", "recompress", "watch")
    )
    for deployment, change in (
        (promoting, {"parameters": {}, "tags": []}),
        (recompressing, {"job_variables": {"env": {}}, "concurrency_limit": 2, "work_queue_name": "production"}),
        (watching, {"schedules": [{"schedule": {"interval": 60}}]}),
    ):
        httpx.patch(f"{server.api}/deployments/{deployment['id']}", json=change, timeout=60).raise_for_status()
    [other] = doctor(server)["deployments"]
    assert "promote/promote (parameters, tags)" in other.what
    assert "recompress/recompress (queue, job variables, concurrency limit)" in other.what
    assert "watch/watch (schedules)" in other.what
    server.call(BIN / "prefect", "--no-prompt", *other.remedy.partition(",")[0].split()[1:])
    only(doctor(server)["deployments"], "ok", "the 6 of prefect.yaml", "")


def test_the_doctor_knows_every_automation(server: Server) -> None:
    [missing] = doctor(server)["automations"]
    assert "lorp: crashed runs, lorp: stuck runs" in missing.what
    server.call(BIN / "prefect", *missing.remedy.split()[1:])
    only(doctor(server)["automations"], "ok", "lorp: crashed runs, lorp: stuck runs", "")
    [stuck] = (each for each in automations(server) if each["name"] == "lorp: stuck runs")
    stuck["trigger"]["within"] = 60
    server.call(BIN / "prefect", "automation", "update", "--id", stuck["id"], "--from-json", json.dumps(stuck))
    [other] = doctor(server)["automations"]
    only([other], "warning", "than in deployments/automations.yaml: lorp: stuck runs", "&& prefect automation create")
    server.call("sh", "-c", other.remedy)
    only(doctor(server)["automations"], "ok", "lorp: crashed runs, lorp: stuck runs", "")
    crashed, stuck = automations(server)
    httpx.patch(f"{server.api}/automations/{crashed['id']}", json={"enabled": False}, timeout=60).raise_for_status()
    httpx.delete(f"{server.api}/automations/{stuck['id']}", timeout=60).raise_for_status()
    missing, paused = doctor(server)["automations"]
    only([missing], "warning", "not on the server: lorp: stuck runs;", "lorp up does")
    only([paused], "warning", "lorp: crashed runs is paused", f"prefect automation resume --id {crashed['id']}")
    server.call(BIN / "prefect", *paused.remedy.split()[1:])
    only(doctor(server)["automations"], "warning", "not on the server: lorp: stuck runs;", "")
    httpx.delete(f"{server.api}/automations/{crashed['id']}", timeout=60).raise_for_status()


@pytest.mark.parametrize(("automation", "state"), [("lorp: crashed runs", Running()), ("lorp: stuck runs", Pending())])
def test_a_run_without_a_sign_of_life_is_called_crashed(server: Server, automation: str, state: State[Any]) -> None:
    wanted = yaml.safe_load((ROOT / "deployments" / "automations.yaml").read_text())["automations"]
    [asked] = [each for each in wanted if each["name"] == automation]
    asked["trigger"]["within"] = 10  # the least that Prefect takes, where it says minutes

    @flow
    def nothing() -> None: ...

    server.call(BIN / "prefect", "automation", "create", "--from-json", json.dumps(asked))
    [made] = automations(server)
    with temporary_settings({PREFECT_API_URL: server.api}), get_client(sync_client=True) as client:
        run, other = (str(client.create_flow_run(nothing, state=state, tags=tags).id) for tags in (["lorp"], []))
    assert server.state(run, "Crashed")["type"] == "CRASHED"
    assert server.state(other, state.name or "")["type"] == state.type.value
    httpx.delete(f"{server.api}/automations/{made['id']}", timeout=60).raise_for_status()
    for each in (run, other):
        httpx.delete(f"{server.api}/flow_runs/{each}", timeout=60).raise_for_status()


@pytest.mark.parametrize("hours", [-1, 1])
def test_runs_that_died_are_ended_without_the_servers_automations(server: Server, hours: float) -> None:
    """A run that lives is on a machine whose clock is wrong by an hour."""

    @flow
    def nothing() -> None: ...

    def started(state: State[Any], *tags: str) -> str:
        return str(client.create_flow_run(nothing, state=state, tags=tags).id)

    def heard(run: str, event: str) -> datetime:
        """When the server had the run's event of that name."""
        asked = {
            "resource": {"id": [f"prefect.flow-run.{run}"]},
            "event": {"name": [f"prefect.flow-run.{event}"]},
            "occurred": {"until": str(datetime.now(UTC) + timedelta(days=2))},
        }
        for _ in range(60):
            if found := client.request("POST", "/events/filter", json={"filter": asked}).json()["events"]:
                return datetime.fromisoformat(found[0]["received"])
            time.sleep(0.5)
        raise TimeoutError(event)

    with temporary_settings({PREFECT_API_URL: server.api}), get_client(sync_client=True) as client:
        stuck, dead, leaving = started(Pending(), "lorp"), started(Running(), "lorp"), started(Cancelling(), "lorp")
        others = [started(Pending()), started(Running()), started(Scheduled(), "lorp")]
        silence = max(heard(stuck, "Pending"), heard(dead, "Running"), heard(leaving, "Cancelling"))
        alive = started(Running(), "lorp")
        heard(alive, "Running")
        heartbeat = Event(
            event="prefect.flow-run.heartbeat",
            occurred=datetime.now(UTC) + timedelta(hours=hours),
            resource=Resource({"prefect.resource.id": f"prefect.flow-run.{alive}"}),
        )
        client.request("POST", "/events", json=[heartbeat.model_dump(mode="json")])  # type: ignore[arg-type]
        between = silence + (heard(alive, "heartbeat") - silence) / 2
        fresh = started(Pending(), "lorp")
        now = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)

        def ask(path: str, asked: Any) -> httpx.Response:
            answer = client.request("POST", path, json=asked)  # type: ignore[arg-type]
            answer.headers["date"] = format_datetime(now, usegmt=True)
            return answer

        names = end_lost_runs(ask, now - between, now - between)
        states = {run: client.read_flow_run(run).state for run in (stuck, dead, leaving, alive, fresh, *others)}  # type: ignore[arg-type]
        assert len(names) == 3
        assert [state.name for state in states.values() if state] == [
            *("Crashed", "Crashed", "Cancelled", "Running", "Pending"), *("Pending", "Running", "Scheduled")
        ]  # fmt: skip
    for run in states:
        httpx.delete(f"{server.api}/flow_runs/{run}", timeout=60).raise_for_status()


def by_reconcile(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("flows.reconcile._LOST", timedelta(seconds=-5))
    with temporary_settings({PREFECT_API_URL: server.api}):
        return reconcile_summary(run_reconcile(False, workspace()))


def by_lorp_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    told: list[str] = []
    monkeypatch.setattr(up, "_NOT_STARTED", timedelta(seconds=-5))
    monkeypatch.setattr(up, "_tell", told.append)
    asked = UpSpec(prefect_port=httpx.URL(server.api).port or 0)
    up._chore(asked, Services(servers=(), workers=(), environment=server.environment)).act()
    return "; ".join(told)


@pytest.mark.parametrize("by", [by_reconcile, by_lorp_up])
def test_a_run_that_was_never_started_frees_its_slot(
    server: Server, by: Callable[[Server, pytest.MonkeyPatch], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @flow
    def nothing() -> None: ...

    with temporary_settings({PREFECT_API_URL: server.api}), get_client(sync_client=True) as client:
        run = client.create_flow_run(nothing, state=Pending(), tags=["lorp"])
    assert f"the run {run.name} had died, and is ended" in by(server, monkeypatch)
    assert server.state(str(run.id), "Crashed")["type"] == "CRASHED"
    httpx.delete(f"{server.api}/flow_runs/{run.id}", timeout=60).raise_for_status()


def test_the_doctor_knows_the_runs_that_need_a_person(server: Server) -> None:
    def started(name: str, state: State[Any]) -> str:
        @flow(name=name)
        def nothing() -> None: ...

        with get_client(sync_client=True) as client:
            return str(client.create_flow_run(nothing, state=state).id)

    @flow(name="watch")
    def parked() -> State[Any]:
        row = {"address": "/in/model", "standing": "parked", "attempt": 3, "reason": "out of disk", "run": "the-run"}
        create_table_artifact([row, row | {"standing": "done"}], key="watch")
        return Completed(name="Parked")

    with temporary_settings({PREFECT_API_URL: server.api}):
        parked(return_state=True)
        silent = started("recompress", Running())
        waiting = started("promote", Suspended(timeout_seconds=3600))
        late = started("rollback", Scheduled(name="Late"))
        heartbeat = Event(
            event="prefect.flow-run.heartbeat",
            occurred=datetime.now(UTC) - timedelta(hours=1),
            resource=Resource({"prefect.resource.id": f"prefect.flow-run.{silent}"}),
        )
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[heartbeat.model_dump(mode="json")])  # type: ignore[arg-type]
    silence = eventually(server, "runs", silent)
    assert [("are late" in each.what, silent in each.what) for each in silence] == [(True, False), (False, True)]
    found = doctor(server)
    only(found["watch"], "warning", "/in/model is parked after 3 attempts: out of disk", "flow-run retry the-run")
    only(found["promotions"], "ok", "waiting for a person's approval", "")
    for run in (silent, waiting, late):
        httpx.delete(f"{server.api}/flow_runs/{run}", timeout=60).raise_for_status()


def test_it_is_triggered_and_run_to_its_verdict(server: Server, pico: Path, tmp_path: Path) -> None:
    prefect = BIN / "prefect"
    spec = {
        "source": str(pico),
        "name": "pico",
        "pruning": {"remove": 2},
        "calibration": {"num_windows": 8, "window_tokens": 32},
        "evaluation": {"num_windows": 40, "window_tokens": 32},
        "gate": {"max_perplexity_ratio": 0.5},
    }
    with background(
        prefect, "worker", "start", "--pool", "lorp", environment=server.environment, log=tmp_path / "log", cwd=ROOT
    ):
        out = server.call(
            prefect, "deployment", "run", "recompress/recompress", "--param", f"spec={json.dumps(spec)}",
            "--watch", "--watch-interval", 2,
        )  # fmt: skip
    asked = {"deployments": {"name": {"any_": ["recompress"]}}}
    [run] = httpx.post(f"{server.api}/flow_runs/filter", json=asked, timeout=60).json()
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Rejected"), out
    assert "over the budget of 0.5" in run["state"]["message"]


def test_the_command_line_uses_a_configured_server(server: Server, pico: Path) -> None:
    out = server.call(
        BIN / "lorp", "recompress", pico, "--remove=2", "--calibration-windows=8", "--evaluation-windows=40",
        "--window-tokens=32", "--max-perplexity-ratio=100", "--json",
    )  # fmt: skip
    run = httpx.get(f"{server.api}/flow_runs/{json.loads(out)['run']}", timeout=60).json()
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Approved")


def test_a_promotion_waits_for_a_person_and_does_as_they_say(server: Server, pico: Path, tmp_path: Path) -> None:
    prefect = BIN / "prefect"
    server.call(
        BIN / "lorp", "recompress", pico, "--name=waiting", "--remove=2", "--heal=none", "--calibration-windows=8",
        "--evaluation-windows=40", "--window-tokens=32", "--max-perplexity-ratio=100", "--tasks=none",
        "--speed-rounds=0", "--generation-prompts=0",
    )  # fmt: skip
    asked = {"name": "waiting", "version": 1}
    with background(
        prefect, "worker", "start", "--pool", "lorp", environment=server.environment, log=tmp_path / "log", cwd=ROOT
    ):
        refused, approved, late = (
            server.run("promote/promote", {"asked": asked, **more})
            for more in ({}, {}, {"policy": {"approval": True, "approval_hours": 10 / 3600}})
        )
        for run in (refused, approved):
            server.state(run, "Suspended")
        for said in ({"approve": "perhaps", "by": "ada"}, {"approve": True}, {"approve": True, "by": ""}):
            assert server.resume(refused, **said)["status"] == "REJECT"
        server.resume(refused, approve=False, by="ada", note="not today")
        assert "ada did not approve" in server.state(refused, "Refused")["message"]
        server.resume(approved, approve=True, by="ada", note="fine")
        server.state(approved, "Promoted")
        assert "never resumed" in server.state(late, "Failed")["message"]
    entries = read_ledger(open_vault(f"{server.environment['LORP_HOME']}/store"), "waiting")
    assert [(entry.change.act, entry.change.flow_run) for entry in entries[1:]] == [("promoted", approved)]
