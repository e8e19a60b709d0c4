"""`lorp up`: a whole installation on one machine, for as long as the command runs."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from flows.installation.claim import Up, claimed, note, noted, strike_out
from flows.installation.deploying import deploy
from flows.installation.leash import GRACE
from flows.installation.services import Services, UpSpec, services_of
from flows.installation.supervisor import Supervisor
from lorp.errors import SpecError
from tasks.vault import open_vault
from tasks.workspace import home, make_home, workspace

_STOPS = (signal.SIGINT, signal.SIGTERM)


def run_up(asked: UpSpec, store: str | None) -> int:
    """Brings an installation up, and keeps it so until it is asked to stop; 0 then, or if it is up already.

    Raises:
        InputError: A setting, the store, a port or the file of deployments cannot be used.
        OutageError: A server does not start.
    """
    places = workspace(store)
    make_home()
    open_vault(places.store)
    folder = home() / "installation"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with claimed(folder) as mine:
        if not mine:
            typer.echo(_already(noted(folder)))
            return 0
        _check_ports(asked, after_crash=noted(folder) is not None)
        services = services_of(asked, places)
        note(folder, Up(process=os.getpid(), prefect=asked.prefect, mlflow=asked.mlflow))
        try:
            _keep_up(asked, services, folder / "logs")
        finally:
            strike_out(folder)
    return 0


def _keep_up(asked: UpSpec, services: Services, logs: Path) -> None:
    supervisor = Supervisor(logs=logs, tell=typer.echo)
    with _until_stopped():
        try:
            _start(asked, services, supervisor)
            supervisor.watch()
        finally:
            for stop in _STOPS:
                signal.signal(stop, signal.SIG_IGN)
            typer.echo("stopping: workers first, then the servers")
            supervisor.stop()


def _start(asked: UpSpec, services: Services, supervisor: Supervisor) -> None:
    typer.echo(f"starting Prefect and MLflow; logs are in {supervisor.logs}")
    for server in services.servers:
        supervisor.start(server)
    typer.echo(f"Prefect   {asked.prefect}")
    typer.echo(f"MLflow    {asked.mlflow}")
    names = deploy(asked.prefect, asked.deployments, services.environment)
    typer.echo(f"deployed  {', '.join(names)}")
    for worker in services.workers:
        supervisor.start(worker)
    typer.echo(f"workers   {len(services.workers)}")
    typer.echo("For other terminals:")
    for name in ("LORP_HOME", "LORP_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        typer.echo(f"  export {name}={services.environment[name]}")
    if asked.host not in ("127.0.0.1", "::1", "localhost"):
        typer.echo(f"Whoever reaches {asked.host} can use both servers: neither asks for a password.")
    typer.echo("Up. Ctrl-C stops it.")


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ends what is in it when the process is asked to stop."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _STOPS}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _already(up: Up | None) -> str:
    if up is None:
        return "It is being started by another process."
    return f"It is up already, kept by process {up.process}: Prefect {up.prefect}, MLflow {up.mlflow}"


def _check_ports(asked: UpSpec, after_crash: bool) -> None:
    """Refuses ports that are taken; those of an installation that was killed are free a little later."""
    _check_host(asked.host)
    until = time.monotonic() + (2 * GRACE if after_crash else 0)
    for option, port in (("--prefect-port", asked.prefect_port), ("--mlflow-port", asked.mlflow_port)):
        while not _is_free(asked.host, port):
            if time.monotonic() > until:
                raise SpecError(f"port {port} of {asked.host} is taken", f"Stop what uses it, or give another {option}")
            time.sleep(0.5)


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_server((host, port), family=_family(host)):
            return True
    except OSError:
        return False


def _check_host(host: str) -> None:
    try:
        with socket.create_server((host, 0), family=_family(host)):
            pass
    except OSError:
        raise SpecError(f"{host} is no address of this machine", "Give one with --host") from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
