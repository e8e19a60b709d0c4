"""What is asked of an installation -> its services, as processes."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import Field

from flows.installation.databases import database_urls
from flows.installation.logins import Login, Logins, logins, prefect_login
from flows.installation.supervisor import Service
from lorp.spec import Spec
from tasks.workspace import Workspace, home

POOL = "lorp"
_ANY = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class UpSpec(Spec):
    """What an installation is to be.

    Attributes:
        host: The interface that the servers listen on.
        prefect_port: Of Prefect's server.
        mlflow_port: Of MLflow's server.
        workers: How many.
        database_url: `postgresql://user@host/name`; SQLite unless given.
        deployments: The file that says what is deployed; the one of lorp's own folder unless given.
    """

    host: str = "127.0.0.1"
    prefect_port: int = Field(4200, ge=1, le=65535)
    mlflow_port: int = Field(5000, ge=1, le=65535)
    workers: int = Field(1, ge=1, le=64)
    database_url: str | None = None
    deployments: Path = Path(__file__).parents[2] / "prefect.yaml"

    @property
    def prefect(self) -> str:
        """Address of Prefect's server."""
        return f"http://{self._reached}:{self.prefect_port}"

    @property
    def mlflow(self) -> str:
        """Address of MLflow's server."""
        return f"http://{self._reached}:{self.mlflow_port}"

    @property
    def is_open(self) -> bool:
        """Whether other machines reach the servers."""
        return self.host not in _LOOPBACK

    @property
    def _reached(self) -> str:
        reached = "127.0.0.1" if self.host in _ANY else self.host
        return f"[{reached}]" if ":" in reached else reached


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services of an installation, in the order in which they are started.

    Attributes:
        servers: Prefect's and MLflow's.
        workers: Started once everything is deployed.
        environment: Of what talks to the servers.
    """

    servers: tuple[Service, ...]
    workers: tuple[Service, ...]
    environment: Mapping[str, str]


def services_of(asked: UpSpec, places: Workspace) -> Services:
    """The services that are asked for.

    Raises:
        SpecError: The database's address cannot be used, or nobody would be asked for a password who should be.
        OutageError: The database's server does not do as asked.
    """
    make = _Maker(environment=_environment(asked, places), folder=asked.deployments.absolute().parent)
    asking = logins(make.environment) if asked.is_open else None
    prefect_database, mlflow_database = database_urls(asked.database_url, home())
    prefect = make.service(
        "prefect",
        ("prefect", "server", "start", "--host", asked.host, "--port", asked.prefect_port),
        lambda: _answers(f"{asked.prefect}/api/health"),
        _prefect_settings(prefect_database, asking),
        asked.prefect_port,
    )
    mlflow = make.service(
        "mlflow",
        (
            *("mlflow", "server", "--host", asked.host, "--port", asked.mlflow_port, "--workers", 1),
            *(("--app-name", "basic-auth") if asking else ()),
        ),
        lambda: _answers(f"{asked.mlflow}/health"),
        _mlflow_settings(asked, mlflow_database, asking),
        asked.mlflow_port,
    )
    workers = tuple(make.worker(asked, f"worker-{number}") for number in range(1, asked.workers + 1))
    return Services(servers=(prefect, mlflow), workers=workers, environment=make.environment)


@dataclass(frozen=True, kw_only=True)
class _Maker:
    """Makes services of one environment, in one folder."""

    environment: Mapping[str, str]
    folder: Path

    def service(
        self,
        name: str,
        command: Iterable[object],
        answers: Callable[[], bool],
        own: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> Service:
        return Service(
            name=name,
            command=(sys.executable, "-m", *map(str, command)),
            environment={**self.environment, **(own or {})},
            folder=self.folder,
            answers=answers,
            port=port,
        )

    def worker(self, asked: UpSpec, name: str) -> Service:
        command = ("prefect", "worker", "start", "--pool", POOL, "--name", name)
        return self.service(name, command, _online(asked.prefect, name, prefect_login(self.environment)))


def _environment(asked: UpSpec, places: Workspace) -> dict[str, str]:
    """This process's own, and where everything is."""
    return {
        **os.environ,
        "LORP_HOME": str(home()),
        "LORP_STORE": places.store if "://" in places.store else str(Path(places.store).absolute()),
        "MLFLOW_TRACKING_URI": asked.mlflow,
        "PREFECT_HOME": str(home() / "prefect"),
        "PREFECT_API_URL": f"{asked.prefect}/api",
        # Logs are what a person looks at here, and not one line of an error.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYTHONUNBUFFERED": "1",
    }


def _prefect_settings(database: str, asking: Logins | None) -> dict[str, str]:
    return {
        **(asking.prefect_settings if asking else {}),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        # Of the server that the page came from, by whatever name a browser knows it.
        "PREFECT_SERVER_UI_API_URL": "/api",
    }


def _mlflow_settings(asked: UpSpec, database: str, asking: Logins | None) -> dict[str, str]:
    return {
        **(asking.mlflow_settings(home()) if asking else {}),
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": (home() / "mlflow-artifacts").as_uri(),
        # Judges of traces and their like, which lorp has none of.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **_called(asked),
    }


def _called(asked: UpSpec) -> dict[str, str]:
    """The names by which MLflow's server may be called, beyond those of loopback; what is set already stays so."""
    if not asked.is_open:
        return {}
    name = httpx.URL(asked.mlflow).netloc.decode()
    hosts, origins = ("*", "*") if asked.host in _ANY else (name, f"http://{name}")
    called = {"MLFLOW_SERVER_ALLOWED_HOSTS": hosts, "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": origins}
    return {setting: os.environ.get(setting, value) for setting, value in called.items()}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _online(prefect: str, name: str, login: Login | None) -> Callable[[], bool]:
    def online() -> bool:
        try:
            found = httpx.post(f"{prefect}/api/work_pools/{POOL}/workers/filter", json={}, timeout=5, auth=login)
            workers = found.raise_for_status().json()
            return any((worker["name"], worker["status"]) == (name, "ONLINE") for worker in workers)
        except httpx.HTTPError:
            return False

    return online
