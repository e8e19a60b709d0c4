"""MLflow -> whether it can be read, and its aliases are where the ledgers say."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from mlflow import __version__ as client_version
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from lorp.errors import RegistryError
from tasks.doctor.check import Finding, fault, ok, warning
from tasks.doctor.ledgers import broken
from tasks.ledger import names
from tasks.reconcile import Found, strayed
from tasks.tracking import is_there, unusable
from tasks.vault import vault_to_read
from tasks.workspace import Workspace

_NAME = "registry"
_SECONDS = 10


def look_at_registry(places: Workspace) -> Iterator[Finding]:
    """Asks for its version and its models; a database that is not there is not made."""
    uri = places.tracking_uri
    if uri.startswith("http"):
        yield from _versions(uri, _server_version(uri))
    if not is_there(places):
        yield ok(_NAME, f"{uri} is not there yet: it is made when it is first needed")
        return
    _check_database(uri)
    try:
        models = MlflowClient(tracking_uri=uri).search_registered_models()
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise unusable(uri, error) from None
    more = " or more" if models.token else ""
    yield ok(_NAME, f"{uri} has {len(models)}{more} registered models")


def look_at_aliases(places: Workspace) -> Iterator[Finding]:
    """Holds the aliases of every sound ledger against the registry's."""
    vault = vault_to_read(places.store)
    found = [name for name in names(vault) if not list(broken(vault, name))] if vault else []
    if found and not is_there(places):
        what = f"the store has ledgers, and the registry {places.tracking_uri} is not there"
        yield fault("aliases", what, "Look at --tracking-uri and --store: they must belong together")
        return
    amiss = [entry for name in found if vault for entry in strayed(places, vault, name)]
    yield from map(_amiss, amiss)
    if not amiss:
        yield ok("aliases", "all are where the ledgers say")


def _amiss(found: Found) -> Finding:
    there = f"version {found.registry}" if found.registry else "nothing"
    what = f"{found.name}@{found.alias} is {there}, and by the ledger version {found.ledger}"
    if found.cause == "behind":
        return warning("aliases", f"{what}, as a crash leaves it", "lorp reconcile")
    return fault("aliases", f"{what}: something else than lorp has moved it", "lorp reconcile --restore")


def _server_version(uri: str) -> str:
    credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    try:
        answer = http_request(credentials, "/version", "GET", timeout=_SECONDS, max_retries=0)  # type: ignore[no-untyped-call]
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"MLflow at {uri} does not answer: {type(error.__cause__ or error).__name__}",
            "Look at --tracking-uri and its server",
        ) from None
    if not answer.ok:
        raise RegistryError(
            f"MLflow at {uri} answers with status {answer.status_code} when it is asked for its version",
            "Look at --tracking-uri, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    return str(answer.text).strip()


def _versions(uri: str, server: str) -> Iterator[Finding]:
    if server.split(".")[:2] != client_version.split(".")[:2]:
        what = f"the server {uri} is MLflow {server}, and this machine has {client_version}"
        yield warning(_NAME, what, f"Run the server with MLflow {client_version}")


def _file(uri: str) -> Path | None:
    database = make_url(uri).database if uri.startswith("sqlite:") else None
    return Path(database) if database and database != ":memory:" else None


def _check_database(uri: str) -> None:
    """Makes sure that a file is a database of MLflow's, which else would make it one."""
    file = _file(uri)
    if file is None:
        return
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=_SECONDS)
        try:
            connection.execute("select version_num from alembic_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise RegistryError(
            f"{file} is no database of MLflow's that can be read: {error}", "Give another with --tracking-uri"
        ) from None
