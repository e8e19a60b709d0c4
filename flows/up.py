"""`lorp up`: a whole installation on one machine, for as long as the command runs."""

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import typer

from flows.installation.claim import State, Up, claimed, note, noted, strike_out
from flows.installation.deploying import Wanted, deploy, read_wanted
from flows.installation.leash import LONGEST
from flows.installation.logins import CLIENT_SETTINGS, check_mlflow_login, prefect_login
from flows.installation.services import Services, UpSpec, services_of
from flows.installation.supervisor import Chore, Supervisor
from flows.lost_runs import end_lost_runs
from lorp.errors import OutageError, SpecError
from tasks.vault import open_vault
from tasks.workspace import home, make_home, workspace

#: A little longer than the automations take, which do the same.
_NOT_STARTED, _SILENT = timedelta(seconds=330), timedelta(seconds=210)
#: Within the latter, runs that live are heard again by a server that was down.
_CHORE_SECONDS, _SETTLED_SECONDS, _SECONDS = 20.0, 90.0, 10


def run_up(asked: UpSpec, store: str | None) -> int:
    """Brings an installation up, and keeps it so until it is asked to stop; 0 then, or if it is up already.

    Raises:
        InputError: A setting, the store, a port or a file of deployments cannot be used.
        OutageError: A server does not start, or another process is starting or stopping the installation.
    """
    places = workspace(store)
    make_home()
    open_vault(places.store)
    folder = home() / "installation"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with claimed(folder) as mine:
        if not mine:
            _tell(_already(noted(folder)))
            return 0
        after_crash = noted(folder) is not None
        wanted = read_wanted(asked.deployments)
        _note(folder, asked, "starting")
        try:
            _check_ports(asked, after_crash)
            _keep_up(asked, services_of(asked, places), wanted, folder)
        finally:
            strike_out(folder)
    return 0


def _keep_up(asked: UpSpec, services: Services, wanted: Wanted, folder: Path) -> None:
    supervisor = Supervisor(logs=folder / "logs", tell=_tell, chore=_chore(asked, services))
    with _until_stopped():
        try:
            _start(asked, services, wanted, supervisor)
            _note(folder, asked, "up")
            _tell("Up. Ctrl-C stops it.")
            supervisor.watch()
        finally:
            for stop in _stops():
                signal.signal(stop, signal.SIG_IGN)
            with suppress(OSError):
                _note(folder, asked, "stopping")
            _tell("stopping: workers first, then the servers")
            supervisor.stop()


def _chore(asked: UpSpec, services: Services) -> Chore:
    """Ends runs that have died: by itself, since the server forgets what its automations wait for."""
    login = prefect_login(services.environment)
    client = httpx.Client(base_url=f"{asked.prefect}/api", auth=login, timeout=_SECONDS)

    def ask(path: str, asked_for: Any) -> httpx.Response:
        return client.post(path, json=asked_for).raise_for_status()

    def act() -> None:
        # What does not answer now does later, or is started again.
        with suppress(httpx.HTTPError, ValueError):
            for name in end_lost_runs(ask, _NOT_STARTED, _SILENT):
                _tell(f"the run {name} had died, and is ended")

    return Chore(act=act, every=_CHORE_SECONDS, needs="prefect", settled=_SETTLED_SECONDS)


def _note(folder: Path, asked: UpSpec, state: State) -> None:
    note(folder, Up(state=state, process=os.getpid(), prefect=asked.prefect, mlflow=asked.mlflow))


def _tell(text: str) -> None:
    """Says something to whoever reads it; that nobody does any more is no fault."""
    try:
        typer.echo(text)
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _start(asked: UpSpec, services: Services, wanted: Wanted, supervisor: Supervisor) -> None:
    _tell(f"starting Prefect and MLflow; logs are in {supervisor.logs}")
    for server in services.servers:
        supervisor.start(server)
    if asked.is_open:
        check_mlflow_login(asked.mlflow, services.environment)
    _tell(f"Prefect   {asked.prefect}")
    _tell(f"MLflow    {asked.mlflow}")
    deploy(asked.prefect, wanted, services.environment)
    _tell(f"deployed  {', '.join(wanted.names)}")
    for worker in services.workers:
        supervisor.start(worker)
    _tell(f"workers   {len(services.workers)}")
    _tell("For other terminals:")
    for name in ("LORP_HOME", "LORP_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        _tell(f"  export {name}={services.environment[name]}")
    if asked.is_open:
        _tell(f"and {', '.join(CLIENT_SETTINGS)} as they are here.")
        _tell(
            "Passwords cross the network as they are: put a proxy with TLS before both servers, or trust the network."
        )


def _stops() -> list[signal.Signals]:
    """The signals that stop it: the terminal's end too, unless it was started to outlive that."""
    outlives = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if outlives else [signal.SIGHUP])]


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ends what is in it when the process is asked to stop."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _stops()}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _already(up: Up | None) -> str:
    if up is None or up.state == "starting":
        who = f"process {up.process}" if up else "another process"
        raise OutageError(f"the installation is being started by {who}", "Wait until that says that it is up")
    if up.state == "stopping":
        raise OutageError(f"the installation is being stopped by process {up.process}", "Start it when that has ended")
    return f"It is up already, kept by process {up.process}: Prefect {up.prefect}, MLflow {up.mlflow}"


def _check_ports(asked: UpSpec, after_crash: bool) -> None:
    """Refuses ports that are taken; those of an installation that was killed are free a little later."""
    _check_host(asked.host)
    until = time.monotonic() + (LONGEST if after_crash else 0)
    for option, port in (("--prefect-port", asked.prefect_port), ("--mlflow-port", asked.mlflow_port)):
        while not _is_free(asked.host, port, option):
            if time.monotonic() > until:
                raise SpecError(f"port {port} of {asked.host} is taken", f"Stop what uses it, or give another {option}")
            time.sleep(0.5)


def _is_free(host: str, port: int, option: str) -> bool:
    try:
        with socket.create_server((host, port), family=_family(host)):
            return True
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            return False
        raise SpecError(f"{option} {port} cannot be used: {fault.strerror}", "Give another") from None


def _check_host(host: str) -> None:
    try:
        with socket.create_server((host, 0), family=_family(host)):
            pass
    except OSError:
        raise SpecError(f"{host} is no address of this machine", "Give one with --host") from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
