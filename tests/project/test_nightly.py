"""What a platform team runs every night, with S3, both servers and two workers: arrivals, crashes, races.

Slow: a run whose process was killed is missed for three minutes.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from installations import LORP, Installation, installation_in
from pico import make_pico
from proxy import proxy_to
from servers import S3_CREDENTIALS

from lorp.ledger import Entry, last_move
from tasks.aliases import aliases
from tasks.ledger import read_ledger
from tasks.vault import open_vault
from tasks.workspace import Workspace, workspace

pytestmark = pytest.mark.slow

PROCESSES = 8
ROUNDS = int(os.environ.get("LORP_TEST_ROUNDS", "200")) // PROCESSES
RECIPE = {
    "pruning": {"remove": 2, "method": ["shortgpt"]},
    "healing": {"method": "none"},
    "calibration": {"num_windows": 16, "window_tokens": 32},
    "evaluation": {"num_windows": 40, "window_tokens": 32},
    "tasks": {"tasks": []},
    "generation": {"num_prompts": 0},
    "speed": {"repeats": 0},
    "gate": {"max_perplexity_ratio": 100},
}
QUICK = (
    "--heal=none", "--calibration-windows=16", "--evaluation-windows=40", "--window-tokens=32", "--tasks=none",
    "--generation-prompts=0", "--speed-rounds=0", "--max-perplexity-ratio=100", "--method=shortgpt",
)  # fmt: skip


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, s3_server: str) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("nightly")
    settings = {**S3_CREDENTIALS, "AWS_ENDPOINT_URL": s3_server, "LORP_STORE": "s3://nightly/store"}
    up = installation_in(folder / "home", **settings)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in up.environment.items():
            environment.setenv(name, value)
        boto3.session.Session().client("s3").create_bucket(Bucket="nightly")
        process = up.start("--workers", 2)
        yield up
        process.terminate()
        process.wait(180)
    for left in up.processes():
        left.kill()


@pytest.fixture
def places(installation: Installation) -> Workspace:
    return workspace()


def upload(folder: Path, name: str, pause: float = 0) -> None:
    """Copies a checkpoint into the watched prefix, what its index is in first."""
    client = boto3.session.Session().client("s3")
    for file in sorted(folder.iterdir()):
        client.upload_file(str(file), "nightly", f"incoming/{name}/{file.name}")
        time.sleep(pause)


WATCHER = """
import json, sys, time
from flows.watch import WatchSpec, watch
while True:
    watch(WatchSpec(**json.loads(sys.argv[1])))
    time.sleep(2)
"""


def watcher(asked: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
    with log.open("w") as said:
        return subprocess.Popen([sys.executable, "-c", WATCHER, json.dumps(asked)], stdout=said, stderr=said)


def recompressions(installation: Installation) -> list[dict[str, Any]]:
    asked = {"flows": {"name": {"any_": ["recompress"]}}, "sort": "START_TIME_ASC"}
    found: list[dict[str, Any]] = httpx.post(f"{installation.api}/flow_runs/filter", json=asked, timeout=60).json()
    return found


def kill_a_run_and_its_worker(installation: Installation) -> None:
    """Kills, without a word, a worker in whose hands a run is, and the run."""
    for _ in range(300):
        # Its first stages are done, so that it is in the middle.
        if any(run["state_type"] == "RUNNING" for run in recompressions(installation)) and stages() >= 3:
            break
        time.sleep(0.2)
    for process in installation.processes():
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if "prefect worker start" in command and "leash" not in command:
                busy = [each for each in process.children(recursive=True) if "engine" in " ".join(each.cmdline())]
                if busy:
                    for each in [*process.children(recursive=True), process]:
                        each.kill()
                    return
    raise AssertionError("no worker has a run in hand")


def stages() -> int:
    return len(open_vault(workspace().store).store.keys("stages"))


def test_three_checkpoints_are_recompressed_once_each_whatever_is_killed(
    installation: Installation, places: Workspace, tmp_path: Path
) -> None:
    models = {
        name: make_pico(tmp_path / name, initializer_range=0.2 + number / 100)
        for number, name in enumerate(("first", "second", "slow"))
    }
    asked = {"sources": ["s3://nightly/incoming"], "recipe": RECIPE, "settle_seconds": 3, "backoff_minutes": 0.1}
    watchers = [watcher(asked, tmp_path / f"watcher-{number}.log") for number in range(2)]
    copying = threading.Thread(target=upload, args=(models["slow"], "slow", 4))
    try:
        copying.start()
        for name in ("first", "second"):
            upload(models[name], name)
        kill_a_run_and_its_worker(installation)
        copying.join()
        for _ in range(600):
            done = [run for run in recompressions(installation) if run["state_type"] == "COMPLETED"]
            if len(done) == 3:
                break
            time.sleep(1)
    finally:
        for process in watchers:
            process.kill()
            process.wait()
    time.sleep(5)  # for one too many
    runs = recompressions(installation)
    assert Counter(run["state_type"] for run in runs) == {"COMPLETED": 3, "CRASHED": 1}, runs
    assert {run["parameters"]["spec"]["name"] for run in done} == {"first-lorp", "second-lorp", "slow-lorp"}
    for name in ("first-lorp", "second-lorp", "slow-lorp"):
        [entry] = read_ledger(open_vault(places.store), name)
        assert (entry.change.act, entry.change.version) == ("registered", 1)
        assert aliases(places, name) == {"candidate": 1}

    spec = next(run["parameters"]["spec"] for run in done if run["parameters"]["spec"]["name"] == "slow-lorp")
    again = subprocess.run(
        [LORP, "recompress", spec["source"], "--name=slow-lorp", "--remove=2", *QUICK, "--json"],
        env={**os.environ, "LORP_HOME": str(tmp_path / "elsewhere")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert re.findall(r"^(\w+)[^:\n]*: started$", again.stderr, flags=re.MULTILINE) == []


@pytest.fixture(scope="module")
def raced(installation: Installation, pico: Path) -> str:
    """A name with three versions."""
    for count in (1, 2, 3):
        subprocess.run(
            [LORP, "recompress", pico, "--name=raced", f"--remove={count}", *QUICK],
            check=True, capture_output=True,
        )  # fmt: skip
    return "raced"


def moves(places: Workspace, name: str) -> list[Entry]:
    return [entry for entry in read_ledger(open_vault(places.store), name) if entry.change.alias == "production"]


def test_eight_who_promote_and_roll_back_leave_one_history(raced: str, places: Workspace, tmp_path: Path) -> None:
    script = Path(__file__).with_name("moves.py")
    logs = [tmp_path / f"{seed}.jsonl" for seed in range(PROCESSES)]
    running = []
    for seed, log in enumerate(logs):
        with log.open("w") as said, log.with_suffix(".err").open("w") as complained:
            command = [sys.executable, script, raced, str(ROUNDS), str(seed)]
            environment = {**os.environ, "LORP_HOME": str(tmp_path / f"home-{seed}")}
            running.append(subprocess.Popen(command, stdout=said, stderr=complained, env=environment))
    assert [process.wait() for process in running] == [0] * PROCESSES, [
        log.with_suffix(".err").read_text()[-500:] for log in logs
    ]
    outcomes = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert len(outcomes) == PROCESSES * ROUNDS
    entries = moves(places, raced)
    whole = read_ledger(open_vault(places.store), raced)
    assert [entry.sequence for entry in whole] == list(range(1, len(whole) + 1))
    assert [entry.before for entry in whole[1:]] == [entry.sha256 for entry in whole[:-1]]
    moved = [outcome for outcome in outcomes if outcome["state"] in ("Promoted", "RolledBack")]
    assert sorted(outcome["entry"] for outcome in moved) == [entry.sequence for entry in entries]
    assert {str(seed) for seed in range(PROCESSES)} == {entry.change.asked_by for entry in entries}
    head = last_move(whole, "production")
    assert head is not None
    assert aliases(places, raced)["production"] == head.change.version


def test_one_killed_between_entry_and_alias_is_mended_by_the_next_command(
    installation: Installation, raced: str, places: Workspace, tmp_path: Path
) -> None:
    before = moves(places, raced)
    asked = 1 if not before or before[-1].change.version != 1 else 2
    # Which version races have left there is chance, and it may be better than the one that is asked for.
    (tmp_path / "policy.yaml").write_text("max_ratio_to_production: null\n")
    command = [LORP, "promote", raced, f"--version={asked}", f"--policy={tmp_path / 'policy.yaml'}"]
    with proxy_to(installation.mlflow) as between:

        def kill(method: str, path: str) -> None:
            if method == "POST" and path.endswith("registered-models/alias"):
                os.kill(victim.pid, signal.SIGKILL)
                victim.wait()

        between.lose = kill
        victim = subprocess.Popen(command, env={**os.environ, "MLFLOW_TRACKING_URI": between.url})
        assert victim.wait() == -signal.SIGKILL
    entries = moves(places, raced)
    assert len(entries) == len(before) + 1
    mended = subprocess.run([LORP, "reconcile", "--json"], capture_output=True, text=True, check=False)
    assert mended.returncode == 0, mended.stderr
    assert aliases(places, raced)["production"] == entries[-1].change.version
