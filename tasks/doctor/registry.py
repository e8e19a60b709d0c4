"""MLflow -> whether it can be read, and its aliases are where the ledgers say."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import mlflow.store.db.utils  # makes every table known
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from mlflow import MlflowClient
from mlflow import __version__ as client_version
from mlflow.exceptions import MlflowException
from mlflow.store.db.base_sql_model import Base
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from mlflow.utils.uri import get_uri_scheme
from sqlalchemy import Engine, create_engine, inspect
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
    """Asks for its version and its models; a database is neither made nor upgraded."""
    uri = places.tracking_uri
    if uri.startswith("http"):
        yield from _versions(uri, _server_version(uri))
    if not _is_made(places):
        yield ok(_NAME, f"{uri} is not there yet: it is made when it is first needed")
        return
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
    if found and not _is_made(places):
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


def _is_made(places: Workspace) -> bool:
    """Whether the registry is there and can be opened as it is; of a server that is assumed.

    Raises:
        RegistryError: It is a database that MLflow would refuse or, if it were opened, change.
    """
    uri = places.tracking_uri
    if get_uri_scheme(uri) not in DATABASE_ENGINES:  # type: ignore[no-untyped-call]
        return True
    if not is_there(places):
        return False
    revisions, tables = _schema(uri)
    if tables:
        _check_schema(uri, revisions, tables)
    return bool(tables)


def _schema(uri: str) -> tuple[tuple[str, ...], set[str]]:
    """A database's revisions, and its tables but for that of the revisions."""
    try:
        engine = _reading(uri)
        try:
            with engine.connect() as connection:
                revisions = MigrationContext.configure(connection).get_current_heads()
                return revisions, {*inspect(connection).get_table_names()} - {"alembic_version"}
        finally:
            engine.dispose()
    except SQLAlchemyError as error:
        raise unusable(uri, getattr(error, "orig", None) or error) from None


def _reading(uri: str) -> Engine:
    """Connections that cannot write, nor make a file."""
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        asked = {"mode": "ro", "uri": "true", "timeout": str(_SECONDS)}
        url = url.set(database=Path(str(url.database)).absolute().as_uri(), query=asked)
    return create_engine(url, execution_options={"postgresql_readonly": True})


def _check_schema(uri: str, revisions: tuple[str, ...], tables: set[str]) -> None:
    scripts = ScriptDirectory(str(Path(mlflow.store.db.utils.__file__).parents[1] / "db_migrations"))
    if not revisions:
        raise RegistryError(f"{uri} is no database of MLflow's", "Give another with --tracking-uri")
    if not {*revisions} <= {script.revision for script in scripts.walk_revisions()}:
        what = f"{uri} is at revision {', '.join(revisions)}, which MLflow {client_version} does not know"
        raise RegistryError(what, "Use the newer MLflow that made it, or give another with --tracking-uri")
    if {*revisions} != {*scripts.get_heads()}:
        what = f"{uri} is of an older MLflow: revision {', '.join(revisions)}, and not {', '.join(scripts.get_heads())}"
        raise RegistryError(what, f"Back it up, then: mlflow db upgrade {shlex.quote(uri)}")
    missing = {*Base.metadata.tables} - tables
    if missing:
        what = f"{uri} has lost tables of MLflow's: {', '.join(sorted(missing))}"
        raise RegistryError(what, "Restore it from a backup, or give another with --tracking-uri")
