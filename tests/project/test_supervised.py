"""What `lorp up` is made of, with services that take no time to start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from servers import free_port

from flows.installation.claim import State, Up, claimed, note
from flows.installation.deploying import read_wanted
from flows.installation.services import UpSpec, services_of
from flows.installation.supervisor import Chore, Service, Supervisor
from flows.up import run_up
from lorp.errors import OutageError, SpecError
from tasks.workspace import workspace

#: Notes when it was asked to end, and when it did; listens on a port if it is given one.
SERVICE = """
import pathlib, signal, socket, sys, time
name, port = sys.argv[1], int(sys.argv[2])
def note(what):
    with open("times", "a") as times:
        times.write(f"{what} {name} {time.monotonic()}\\n")
def end(*_):
    note("asked")
    time.sleep(1)
    note("ended")
    sys.exit()
signal.signal(signal.SIGTERM, end)
if port:
    listener = socket.create_server(("127.0.0.1", port))
pathlib.Path(name).touch()
while True:
    signal.pause()
"""
#: `lorp up` with one service that does nothing, and nobody to deploy to.
UP = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs this may have it ignored
from flows import up
from flows.installation.services import Services, UpSpec
from flows.installation.supervisor import Service
def services(asked, places):
    said = {"LORP_HOME": "", "LORP_STORE": "", "MLFLOW_TRACKING_URI": "", "PREFECT_API_URL": ""}
    command = (sys.executable, "-c", "import pathlib, time; pathlib.Path('ready').touch(); time.sleep(600)")
    service = Service(name="none", command=command, environment=said, folder=Path.cwd(), answers=Path("ready").exists)
    return Services(servers=(), workers=(service,), environment=said)
up.services_of, up.deploy = services, lambda *_: None
sys.exit(up.run_up(UpSpec(prefect_port=int(sys.argv[1]), mlflow_port=int(sys.argv[2])), None))
"""


def service(folder: Path, name: str, port: int | None = None) -> Service:
    return Service(
        name=name,
        command=(sys.executable, "-c", SERVICE, name, str(port or 0)),
        environment=dict(os.environ),
        folder=folder,
        answers=(folder / name).exists,
        port=port,
    )


def test_workers_are_asked_together_and_servers_when_all_of_them_have_ended(tmp_path: Path) -> None:
    supervisor = Supervisor(logs=tmp_path, tell=print)
    supervisor.start(service(tmp_path, "server", free_port()))
    for name in ("one", "two"):
        supervisor.start(service(tmp_path, name))
    supervisor.stop()
    lines = [line.split() for line in (tmp_path / "times").read_text().splitlines()]
    times = {(what, name): float(when) for what, name, when in lines}
    assert max(times["asked", name] for name in ("one", "two")) < min(times["ended", name] for name in ("one", "two"))
    assert times["asked", "server"] > max(times["ended", name] for name in ("one", "two"))
    assert ("ended", "server") in times


def test_an_answer_of_somebody_else_does_not_count(tmp_path: Path) -> None:
    supervisor = Supervisor(logs=tmp_path, tell=print)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "mine").touch()
        with pytest.raises(OutageError, match=r"mine ended with status 1: .*in use"):
            supervisor.start(service(tmp_path, "mine", port))
    supervisor.stop()


def test_what_fails_for_weeks_is_still_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(logs=tmp_path, tell=told.append)
    supervisor.start(service(tmp_path, "one"))
    [running] = supervisor._running
    running.process.kill()
    running.process.wait()
    running.failures = 5_000
    supervisor._look(running, running.since + 1)
    assert told == ["one ended with status -9, and is started again in 60 s"]


def test_a_chore_is_done_now_and_then_while_its_server_has_been_up(tmp_path: Path) -> None:
    done: list[float] = []
    chore = Chore(act=lambda: done.append(now), every=20, needs="server", settled=90)
    supervisor = Supervisor(logs=tmp_path, tell=print, chore=chore)
    supervisor.start(service(tmp_path, "server", free_port()))
    [running] = supervisor._running
    for now in (running.since + second for second in (0, 89, 90, 100, 109, 110)):
        supervisor._do_chore(now)
    running.again_at = running.since + 150
    now = running.since + 140
    supervisor._do_chore(now)
    assert [second - running.since for second in done] == pytest.approx([90, 110])
    supervisor.stop()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-c", UP, str(free_port()), str(free_port()))
    process = subprocess.Popen(
        command, env={**os.environ, "LORP_HOME": str(tmp_path)}, cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()


@pytest.mark.parametrize("asked_by", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_it_stops_what_it_started_though_nobody_reads_what_it_says(
    tmp_path: Path, up: subprocess.Popen[str], asked_by: signal.Signals
) -> None:
    assert up.stdout is not None
    assert up.stderr is not None
    while "Up." not in (line := up.stdout.readline()):
        assert line, up.stderr.read()
    assert Up.model_validate_json((tmp_path / "installation" / "up.json").read_text()).state == "up"
    up.stdout.close()
    [leash] = psutil.Process(up.pid).children()
    [service] = leash.children()
    service.kill()  # it says so, to nobody
    leash.wait(20)
    until = time.monotonic() + 30
    while not (below := psutil.Process(up.pid).children(recursive=True)):
        assert time.monotonic() < until, "it was not started again"
        time.sleep(0.1)
    up.send_signal(asked_by)
    assert (up.wait(60), up.stderr.read()) == (0, "")
    assert not any(each.is_running() for each in below)
    assert not (tmp_path / "installation" / "up.json").exists()


@pytest.mark.parametrize(("state", "truth"), [("starting", "being started by"), ("stopping", "being stopped by")])
def test_a_second_start_says_how_far_the_first_is(home: Path, state: State, truth: str) -> None:
    folder = home / "installation"
    folder.mkdir(parents=True)
    with claimed(folder) as mine:
        assert mine
        note(folder, Up(state=state, process=7, prefect="http://p", mlflow="http://m"))
        with pytest.raises(OutageError, match=f"{truth} process 7"):
            run_up(UpSpec(), None)


@pytest.mark.parametrize(
    ("host", "hosts", "origins"),
    [
        ("127.0.0.1", None, None),
        ("GPU1", "gpu1:5000", "http://gpu1:5000"),
        ("fd00::1", "[fd00::1]:5000", "http://[fd00::1]:5000"),
        ("0.0.0.0", "*", "*"),
    ],
)
def test_servers_answer_those_who_call_them_by_their_host(
    home: Path, monkeypatch: pytest.MonkeyPatch, host: str, hosts: str | None, origins: str | None
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "ada:secret")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret-of-mlflow")
    prefect, mlflow = services_of(UpSpec(host=host), workspace()).servers
    assert mlflow.environment.get("MLFLOW_SERVER_ALLOWED_HOSTS") == hosts
    assert mlflow.environment.get("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS") == origins
    asked = prefect.environment.get("PREFECT_SERVER_API_AUTH_STRING"), "basic-auth" in mlflow.command
    assert asked == ((None, False) if hosts is None else ("ada:secret", True))
    assert prefect.environment["PREFECT_SERVER_UI_API_URL"] == "/api"
    assert (prefect.port, mlflow.port) == (4200, 5000)


def test_both_files_of_deployments_are_read_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text("deployments: [{name: watch}]")
    with pytest.raises(SpecError, match=r"automations\.yaml cannot be read"):
        read_wanted(file)
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "automations.yaml").write_text("automations: [{name: crashed}]")
    assert read_wanted(file).names == ("watch",)
    for text in ("", "deployments:", "deployments: [watch]", "[]", "deployments: [{}]"):
        file.write_text(text)
        with pytest.raises(SpecError, match="has no list of deployments with names"):
            read_wanted(file)
    file.write_text("deployments: [{name: watch, work_pool: null}]")
    assert read_wanted(file).most == {}
    file.write_text("deployments: [{name: watch, concurrency_limit: two, work_pool: {work_queue_name: q}}]")
    with pytest.raises(SpecError, match="the limit 'two' of watch is no number"):
        read_wanted(file)


def test_a_port_that_is_not_allowed_is_not_called_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create_server(address: tuple[str, int], **_: object) -> socket.socket:
        if address[1]:
            raise PermissionError(13, "Permission denied")
        return socket.socket()

    monkeypatch.setattr("socket.create_server", create_server)
    with pytest.raises(SpecError, match="--prefect-port 80 cannot be used: Permission denied"):
        run_up(UpSpec(prefect_port=80), None)
