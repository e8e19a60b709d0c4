"""Fixtures for all tests: a pico model of 6 blocks, made anew for each session."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pico import make_pico

os.environ.update(PREFECT_HOME=tempfile.mkdtemp(prefix="lorp-prefect-"))
os.environ.update(DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true", TOKENIZERS_PARALLELISM="false")


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound pico checkpoint; tests must not change it."""
    return make_pico(tmp_path_factory.mktemp("pico"))


@pytest.fixture
def pico_copy(pico: Path, tmp_path: Path) -> Path:
    """A pico checkpoint to spoil."""
    import shutil

    return Path(shutil.copytree(pico, tmp_path / "checkpoint"))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server with an empty database for all tests that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
