"""SIGKILL in each stage, then run again: same verdict, same content, one model version."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect.settings import PREFECT_API_URL
from support import PICO_OPTIONS, Lorp, manifests

GIVEN = (
    "half:checkpoints", "fetch", "windows", "capture", "score", "cluster", "questions", "plan", "resample",
    "half:variants", "prune", "evaluate", "answers", "generate", "speed", "gate", "registry:create_run",
    "registry:log_batch", "registry:set_terminated", "registry:create_model_version",
    "registry:set_registered_model_alias", "register",
)  # fmt: skip
BUDGET = "--max-perplexity-ratio=100"
SEARCHED = ("trial", "guess", "search", "half:patches", "heal", "look", "frontier")
SEARCHING = (
    "--remove=auto", "--method=greedy", "--heal=linear", "--heal-windows=16", "--search-windows=8", "--tasks=none",
    "--speed-rounds=0",
)  # fmt: skip


def digests(home: Path) -> dict[str, dict[str, str]]:
    """Output digests of every stage but those whose results hold times and ids."""
    return {
        key: {role: output.sha256 for role, output in manifest.outputs.items()}
        for key, manifest in manifests(home).items()
        if manifest.stage not in ("speed", "register")
    }


@pytest.mark.parametrize(("options", "points"), [((), GIVEN), (SEARCHING, SEARCHED)], ids=["given", "searched"])
def test_killed_in_each_stage_and_run_again(
    options: tuple[str, ...],
    points: tuple[str, ...],
    recompress: Lorp,
    pico: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undisturbed = recompress(BUDGET, *options).json
    expected = digests(home)
    monkeypatch.setenv("LORP_HOME", f"{home}-killed")
    arguments = ["recompress", str(pico), "--remove=2", "--name=pico", BUDGET, *PICO_OPTIONS, *options]
    script = Path(__file__).with_name("killed.py")
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    for point in points:
        command = [sys.executable, script, point, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, f"{point}: {done.stderr}"
    final = recompress(BUDGET, *options).json
    assert final["verdict"] == undisturbed["verdict"]
    assert digests(Path(f"{home}-killed")) == expected
    client = MlflowClient(tracking_uri=f"sqlite:///{home}-killed/mlflow.db")
    [version] = client.search_model_versions("name = 'pico'")
    assert client.get_model_version_by_alias("pico", "candidate").version == version.version
    assert not list(Path(f"{home}-killed").rglob("quarantine/*"))
