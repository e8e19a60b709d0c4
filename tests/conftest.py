"""Fixtures for all tests: a pico model of 6 blocks, made anew for each session."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pico import make_pico
from support import PICO_OPTIONS, Lorp, Result

os.environ.update(PREFECT_HOME=tempfile.mkdtemp(prefix="lorp-prefect-"), HF_HOME=tempfile.mkdtemp(prefix="lorp-hf-"))
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test."""
    monkeypatch.setenv("LORP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "home"


@pytest.fixture
def lorp(home: Path, capsys: pytest.CaptureFixture[str]) -> Lorp:
    """Runs a command in this process."""

    from flows.cli import run

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(status=status, out=out, err=err)

    return call


@pytest.fixture
def recompress(lorp: Lorp, pico: Path, prefect_server: None) -> Lorp:
    """Recompresses the pico model, removing 2 blocks unless asked otherwise."""

    def call(*arguments: object) -> Result:
        return lorp("recompress", pico, "--remove=2", "--name=pico", *PICO_OPTIONS, "--json", *arguments)

    return call
