"""Every command of the README runs: `make demo` in test_demo, `make test` and `make faults` by people, others here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"make demo", "make test", "make faults"}


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pico: Path) -> Path:
    """A folder with the files that the README speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "my-model").symlink_to(pico)
    (folder / "deployments").symlink_to(ROOT / "deployments")
    (folder / "my-text.txt").write_text("\n\n".join(f"Paragraph {number}. " * 40 for number in range(200)))
    states = np.random.default_rng(0).normal(size=(12, 64)).cumsum(axis=0) + 4
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    np.save(folder / "similarity.npy", unit @ unit.T)
    return folder


def test_there_are_commands() -> None:
    assert set(commands()) >= ELSEWHERE
    assert len(commands()) >= 6


@pytest.mark.parametrize("command", [command for command in commands() if command not in ELSEWHERE])
def test_the_command_runs(command: str, folder: Path, prefect_server: None) -> None:
    from prefect.settings import PREFECT_API_URL

    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LORP_HOME": str(folder / "home"),
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
    }
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    assert done.stdout


def test_every_option_it_names_exists() -> None:
    from typer.main import get_command

    from flows.cli import app

    known = {
        name
        for command in get_command(app).commands.values()
        for parameter in command.params
        for name in parameter.opts
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (ROOT / "README.md").read_text()))
    assert named - known - {"--help", "--all", "--backend-store-uri"} == set()
