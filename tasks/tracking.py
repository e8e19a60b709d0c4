"""How MLflow is reached, and what a registry holds of lorp's: its model versions, and the runs that verdicts have."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from lorp.disk import space_fault
from lorp.errors import LorpError, RegistryError
from tasks.pauses import pauses
from tasks.scratch import locked
from tasks.workspace import Workspace

EXPERIMENT = "lorp"
CANDIDATE = "candidate"
#: A version's tag: the identifier of its licence.
LICENCE = "lorp.licence"

#: How long a database that is locked by others is asked again.
_BUSY_SECONDS = 60.0
#: What databases say, and MLflow passes on, when two have inserted the same.
_COLLISIONS = ("IntegrityError", "UniqueViolation")

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class VersionInRegistry:
    """A model version.

    Attributes:
        name: The registered model's.
        version: Its number.
        run_id: Of the run that made it.
        tags: As lorp wrote them: verdict, and digests by role.
    """

    name: str
    version: int
    run_id: str
    tags: dict[str, str]


def versions(places: Workspace) -> tuple[VersionInRegistry, ...]:
    """Every version that lorp has registered; none where the registry is a file that is not there.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    if not is_there(places):
        return ()
    with asked(places) as client:
        found = _all_versions(client)
        return tuple(
            VersionInRegistry(
                name=version.name, version=int(version.version), run_id=str(version.run_id), tags=dict(version.tags)
            )
            for version in found
            if "lorp.verdict" in version.tags
        )


def newest_runs(places: Workspace, name: str | None, count: int) -> list[Run]:
    """The last runs of verdicts, newest first, of one name if that is given; makes nothing that is not there.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    if not is_there(places):
        return []
    with asked(places) as client:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        wanted = f"tags.`lorp.name` = '{name}'" if name else "tags.`lorp.name` != ''"
        order = ["attributes.start_time DESC"]
        return list(client.search_runs([experiment.experiment_id], wanted, max_results=count, order_by=order))


def is_sqlite(tracking_uri: str) -> bool:
    """Whether the registry is a file."""
    return tracking_uri.startswith("sqlite:")


def is_there(places: Workspace) -> bool:
    """Whether the registry exists; of a server that is assumed."""
    if not is_sqlite(places.tracking_uri):
        return True
    path = make_url(places.tracking_uri).database
    return bool(path) and Path(str(path)).is_file()


@contextmanager
def asked(places: Workspace) -> Iterator[MlflowClient]:
    """Asks the registry something.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    try:
        if is_sqlite(places.tracking_uri):
            _make(places.tracking_uri)
        yield MlflowClient(tracking_uri=places.tracking_uri)
    except (MlflowException, SQLAlchemyError, OSError) as fault:
        raise unusable(places.tracking_uri, fault) from fault


def patiently(places: Workspace, act: Callable[[MlflowClient], Answer]) -> Answer:
    """Asks the registry, again while others are in the way; only for what may be asked twice.

    MLflow looks and then inserts, without a lock: of two that log a dataset of one name at once one is refused.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    for pause in pauses(0.1, 2.0):
        try:
            with asked(places) as client:
                return act(client)
        except RegistryError as fault:
            if not _others_are_in_the_way(places, fault) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
    raise AssertionError("pauses never end")


@contextmanager
def already_there() -> Iterator[None]:
    """Makes something that somebody else, or an earlier attempt whose answer was lost, may have made."""
    with _tolerating("RESOURCE_ALREADY_EXISTS"):
        yield


@contextmanager
def not_there() -> Iterator[None]:
    """Removes, or looks at, something that may be gone."""
    with _tolerating("RESOURCE_DOES_NOT_EXIST"):
        yield


def unusable(tracking_uri: str, fault: Exception) -> LorpError:
    """Says that MLflow cannot be used: a RegistryError, or a SpaceError where a disk is full."""
    full = space_fault(fault)
    if full:
        return full
    said = str(fault)[:300]
    return RegistryError(f"MLflow at {tracking_uri} cannot be used: {said}", "Look at --tracking-uri and its server")


def _others_are_in_the_way(places: Workspace, fault: RegistryError) -> bool:
    if any(word in str(fault.__cause__) for word in _COLLISIONS):
        return True
    busy = getattr(fault.__cause__, "error_code", None) == "TEMPORARILY_UNAVAILABLE"
    return busy and not places.tracking_uri.startswith("http")  # of a server MLflow's own client asks again


@lru_cache(maxsize=8)
def _make(tracking_uri: str) -> None:
    """Makes a database that is not there yet, one process after the other: MLflow's own lock lets several in."""
    folder = Path(str(make_url(tracking_uri).database)).parent
    with locked(folder) if folder.is_dir() else nullcontext():
        client = MlflowClient(tracking_uri=tracking_uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)


@contextmanager
def _tolerating(code: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as fault:
        if fault.error_code != code:
            raise


def _all_versions(client: MlflowClient) -> Iterator[ModelVersion]:
    token = None
    while True:
        page = client.search_model_versions(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
