"""Jobs on the pico model, through the command line as a person runs it."""

from pathlib import Path

import pytest
from support import PICO_OPTIONS, Lorp, Result

from flows.cli import run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test."""
    monkeypatch.setenv("LORP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "home"


@pytest.fixture
def lorp(home: Path, capsys: pytest.CaptureFixture[str]) -> Lorp:
    """Runs a command in this process."""

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
