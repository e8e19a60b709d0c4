"""`lorp up`: a whole installation, started, hurt, and stopped."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from installations import LORP, Installation, installation_in
from postgres import PASSWORD, binaries, postgres
from servers import wait_for
from support import PICO_OPTIONS


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    up = installation_in(tmp_path / "home")
    yield up
    for process in up.processes():
        process.kill()


def test_it_comes_up_mends_itself_and_goes_without_a_trace(installation: Installation) -> None:
    process = installation.start("--workers", 2)
    assert installation.deployments() == {"recompress", "sweep", "watch", "promote", "rollback", "reconcile"}
    assert httpx.get(f"{installation.mlflow}/health", timeout=60).is_success
    workers = httpx.post(f"{installation.api}/work_pools/lorp/workers/filter", json={}, timeout=60).json()
    assert {(worker["name"], worker["status"]) for worker in workers} == {
        ("worker-1", "ONLINE"), ("worker-2", "ONLINE")
    }  # fmt: skip
    queues = httpx.post(f"{installation.api}/work_queues/filter", json={}, timeout=60).json()
    limits = {queue["name"]: queue["concurrency_limit"] for queue in queues if queue["work_pool_name"] == "lorp"}
    assert limits["recompress"] == 2, "one recompression and one sweep: no worker takes up what could not run"
    assert limits["production"] is None, "promotions have no limit"
    assert automations(installation) == ["lorp: crashed runs", "lorp: stuck runs"]
    exports = dict(re.findall(r"export (\w+)=(.*)", installation.said))
    assert exports["PREFECT_API_URL"] == installation.api
    assert exports["MLFLOW_TRACKING_URI"] == installation.mlflow

    examined = subprocess.run(
        [LORP, "doctor", "--json"], env=installation.environment, capture_output=True, text=True, check=False
    )
    findings = json.loads(examined.stdout)["findings"]
    amiss = [each["what"] for each in findings if each["state"] in ("fault", "skipped", "warning")]
    assert all("PostgreSQL" in what or "GiB are free" in what for what in amiss), amiss

    again = installation.again()
    assert (again.returncode, again.stderr) == (0, "")
    assert f"up already, kept by process {process.pid}" in again.stdout

    [mlflow] = [each for each in installation.processes() if "uvicorn" in " ".join(each.cmdline())]
    mlflow.parent().kill()  # type: ignore[union-attr]
    wait_until_said(installation, "mlflow ended with status 137")
    wait_for(f"{installation.mlflow}/health")

    process.kill()
    process.wait()
    assert len(installation.processes()) > 3
    process = installation.start()  # at once: ports are waited for
    assert "up already" not in installation.said
    assert automations(installation) == ["lorp: crashed runs", "lorp: stuck runs"]
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    assert installation.processes() == []


def automations(installation: Installation) -> list[str]:
    found = httpx.post(f"{installation.api}/automations/filter", json={}, timeout=60).json()
    return sorted(automation["name"] for automation in found if automation["enabled"])


def wait_until_said(installation: Installation, text: str) -> None:
    for _ in range(60):
        if text in installation.said:
            return
        time.sleep(1)
    raise AssertionError(installation.said)


def test_both_servers_keep_what_they_know_in_postgresql(
    installation: Installation, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with postgres(programs) as url:
        process = installation.start("--database-url", url)
        done = subprocess.run(
            [LORP, "recompress", pico, "--name=pico", "--remove=2", *PICO_OPTIONS, "--json"],
            env=installation.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 3), done.stderr
        outcome = json.loads(done.stdout)
        assert (
            httpx.get(f"{installation.api}/flow_runs/{outcome['run']}", timeout=60).json()["state_type"] == "COMPLETED"
        )
        asked = {"run_id": outcome["mlflow_run"]}
        assert httpx.get(f"{installation.mlflow}/api/2.0/mlflow/runs/get", params=asked, timeout=60).is_success
        process.terminate()
        assert process.wait(120) == 0
    assert not (installation.home / "mlflow.db").exists()
    assert not (installation.home / "prefect" / "prefect.db").exists()
    logs = (installation.home / "installation" / "logs").glob("*.log")
    assert not any(PASSWORD in text for text in [installation.said, *(log.read_text() for log in logs)])


def test_what_other_machines_reach_asks_for_a_password(tmp_path: Path) -> None:
    logins = {
        "PREFECT_API_AUTH_STRING": "ada:secret-of-prefect",
        "MLFLOW_TRACKING_USERNAME": "ada",
        "MLFLOW_TRACKING_PASSWORD": "secret-of-mlflow",
    }
    up = installation_in(tmp_path / "home", **logins)
    process = up.start("--host=0.0.0.0")
    try:
        asked = {"json": {}, "timeout": 60}
        flows, models = f"{up.api}/flows/filter", f"{up.mlflow}/api/2.0/mlflow/registered-models/search"
        assert httpx.post(flows, **asked).status_code == 401
        assert httpx.post(flows, auth=("ada", "secret-of-mlflow"), **asked).status_code == 401
        assert httpx.post(flows, auth=("ada", "secret-of-prefect"), **asked).is_success
        assert httpx.get(models, timeout=60).status_code == 401
        assert httpx.get(models, auth=("ada", "secret-of-mlflow"), timeout=60).is_success
        command = [LORP, "status", "--json"]
        told = subprocess.run(command, env=up.environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        assert not [path for path in up.home.rglob("*") if path.is_file() and holds_a_secret(path)]
        assert "secret-of" not in up.said
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    up.more["MLFLOW_TRACKING_PASSWORD"] = "another-of-mlflow"
    refused = up.again("--host=0.0.0.0")
    assert refused.returncode == 2, refused.stderr
    assert "knows ada by another password than MLFLOW_TRACKING_PASSWORD" in refused.stderr
    assert up.all_gone()


def holds_a_secret(path: Path) -> bool:
    return b"secret-of" in path.read_bytes()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"PREFECT_API_AUTH_STRING": ""}, "PREFECT_API_AUTH_STRING are not set"),
        ({"PREFECT_API_AUTH_STRING": "secret"}, "PREFECT_API_AUTH_STRING is no name and password"),
        ({"MLFLOW_TRACKING_PASSWORD": "secret"}, "MLFLOW_TRACKING_PASSWORD is too short"),
    ],
)
def test_without_a_password_nothing_is_open_to_other_machines(
    tmp_path: Path, changed: dict[str, str], reason: str
) -> None:
    logins = {
        "PREFECT_API_AUTH_STRING": "ada:secret",
        "MLFLOW_TRACKING_USERNAME": "ada",
        "MLFLOW_TRACKING_PASSWORD": "secret-that-is-long",
    }
    up = installation_in(tmp_path, **(logins | changed))
    refused = up.again("--host=0.0.0.0")
    assert refused.returncode == 2, refused.stderr
    assert reason in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "secret" not in refused.stderr
    assert up.all_gone()


def test_a_port_that_is_taken_is_told_at_once(tmp_path: Path) -> None:
    import socket

    up = installation_in(tmp_path)
    with socket.create_server(("127.0.0.1", up.mlflow_port)):
        refused = up.again()
    assert refused.returncode == 2
    assert refused.stderr == (
        f"lorp: port {up.mlflow_port} of 127.0.0.1 is taken. Stop what uses it, or give another --mlflow-port.\n"
    )
    assert up.all_gone()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--database-url", "postgresql://ada:secret@localhost/lorp"), "holds a password"),
        (("--database-url", "mysql://localhost/lorp"), "names no database of PostgreSQL"),
        (("--database-url", "nonsense"), "is no address"),
        (("--database-url", "postgresql://localhost:notaport/lorp"), "is no address"),
        (("--database-url", "postgresql://localhost/lorp?password=secret"), "has options"),
        (("--deployments", "/no/such/prefect.yaml"), "/no/such/prefect.yaml cannot be read"),
        (("--host", "no.such.host.invalid"), "is no address of this machine"),
        (("--workers", "0"), "workers"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    refused = installation_in(tmp_path).again(*options)
    assert refused.returncode == 2, refused.stderr
    assert reason in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "secret" not in refused.stderr


def test_a_server_that_does_not_start_ends_it_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "prefect.db").write_text("no database at all, but a text that is long enough " * 9)
    up = installation_in(tmp_path)
    failed = up.again()
    assert failed.returncode == 1, failed.stderr
    assert "prefect ended with status" in failed.stderr
    assert str(tmp_path / "installation" / "logs" / "prefect.log") in failed.stderr
    assert up.all_gone()
    assert not (tmp_path / "installation" / "up.json").exists()
    assert json.dumps(failed.stderr).count("\\n") == 1
