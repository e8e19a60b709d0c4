"""The deployment of `prefect.yaml` on a real server, run by a real worker."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from servers import background, free_port, wait_for

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Prefect server of its own, and how to talk to it."""

    api: str
    environment: dict[str, str]

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
        yield Server(api=api, environment=environment)


def test_it_is_deployed_triggered_and_run_to_its_verdict(server: Server, pico: Path, tmp_path: Path) -> None:
    prefect = BIN / "prefect"
    server.call(prefect, "work-pool", "create", "lorp", "--type", "process")
    server.call(prefect, "--no-prompt", "deploy", "--all")
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
    [run] = httpx.post(f"{server.api}/flow_runs/filter", json={}).json()
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Rejected"), out
    assert "over the budget of 0.5" in run["state"]["message"]


def test_the_command_line_uses_a_configured_server(server: Server, pico: Path) -> None:
    out = server.call(
        BIN / "lorp", "recompress", pico, "--remove=2", "--calibration-windows=8", "--evaluation-windows=40",
        "--window-tokens=32", "--max-perplexity-ratio=100", "--json",
    )  # fmt: skip
    run = httpx.get(f"{server.api}/flow_runs/{json.loads(out)['run']}").json()
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Approved")
