"""Fixtures of the fault bench."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from children import child


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database as it is before its first run; making one takes seconds, copying it none."""
    home = tmp_path_factory.mktemp("registry")
    child(_make_registry, environment={"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None}).end().whole()
    return home / "mlflow.db"


@pytest.fixture
def make_home(empty_registry: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes homes with an empty registry; there is none of the name before."""

    def make(name: str) -> Path:
        home = tmp_path / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        shutil.copy(empty_registry, home / "mlflow.db")
        return home

    return make


def _make_registry() -> None:
    from tasks.registry import check_registry
    from tasks.workspace import workspace

    check_registry(workspace())
