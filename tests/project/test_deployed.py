"""The deployments of `prefect.yaml` on a real server, run by a real worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import background, free_port, wait_for

from tasks.ledger import read_ledger
from tasks.vault import open_vault

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Prefect server of its own with all deployments, and how to talk to it."""

    api: str
    environment: dict[str, str]

    def run(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Starts a run of a deployment; its id."""
        found = httpx.get(f"{self.api}/deployments/name/{deployment}").json()
        started = httpx.post(f"{self.api}/deployments/{found['id']}/create_flow_run", json={"parameters": parameters})
        return str(started.json()["id"])

    def state(self, run: str, *wanted: str) -> dict[str, Any]:
        """A run's state, once its name is one of these; it may take three minutes."""
        for _ in range(180):
            state: dict[str, Any] = httpx.get(f"{self.api}/flow_runs/{run}").json()["state"]
            if state["name"] in wanted:
                return state
            time.sleep(1)
        raise TimeoutError(state)

    def resume(self, run: str, **said: object) -> dict[str, Any]:
        """Answers a run's form; what the server says to that."""
        answer = httpx.post(f"{self.api}/flow_runs/{run}/resume", json={"run_input": said})
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
    asked = {"flows": {"name": {"any_": ["recompress"]}}}
    [run] = httpx.post(f"{server.api}/flow_runs/filter", json=asked).json()
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Rejected"), out
    assert "over the budget of 0.5" in run["state"]["message"]


def test_the_command_line_uses_a_configured_server(server: Server, pico: Path) -> None:
    out = server.call(
        BIN / "lorp", "recompress", pico, "--remove=2", "--calibration-windows=8", "--evaluation-windows=40",
        "--window-tokens=32", "--max-perplexity-ratio=100", "--json",
    )  # fmt: skip
    run = httpx.get(f"{server.api}/flow_runs/{json.loads(out)['run']}").json()
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
