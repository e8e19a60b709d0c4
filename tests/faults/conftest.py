"""Fixtures of the fault bench."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from children import child
from servers import background, free_port, wait_for

#: What a run is asked for that searches and heals.
FILLING: dict[str, Any] = {
    "pruning": {"remove": 2, "method": ["lorp", "shortgpt"]},
    "search": {"num_mend_windows": 2, "num_score_windows": 2, "num_confirm_windows": 2, "max_swaps": 1},
    "healing": {"method": "linear", "num_windows": 8},
    "gate": {"max_perplexity_ratio": 1e9},
}


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


@pytest.fixture(scope="session")
def filled_home(empty_registry: Path, pico: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a run has searched, healed, been registered and promoted."""
    home = tmp_path_factory.mktemp("filled")
    shutil.copy(empty_registry, home / "mlflow.db")
    environment = {"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None}
    child(_fill, str(pico), environment=environment).end().whole()
    return home


def _fill(pico: str) -> None:
    import jobs

    jobs.recompress(Path(pico), **FILLING)
    jobs.promote("pico", 1)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server with an empty registry; its address. It takes half a minute to come up."""
    folder, port = tmp_path_factory.mktemp("mlflow-server"), free_port()
    start = (
        Path(sys.executable).with_name("mlflow"), "server", "--host", "127.0.0.1", "--port", port, "--workers", 1,
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", folder / "artifacts",
    )  # fmt: skip
    # Without the processes that run its own jobs, of which lorp asks none, it comes up sooner.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with background(*start, environment=environment, log=folder / "log", cwd=folder):
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"


def _make_registry() -> None:
    from tasks.registry import check_registry
    from tasks.workspace import workspace

    check_registry(workspace())
