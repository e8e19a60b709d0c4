"""Stages on a real Dask cluster: the same content as in the flow's own thread, made by several workers."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client
from prefect.settings import PREFECT_API_URL, temporary_settings
from servers import background, free_port
from support import Lorp, manifests

from lorp.errors import SpecError
from tasks.runner import check_runner

BIN = Path(sys.executable).parent
DOC = Path(__file__).parents[2] / "docs" / "clusters.md"
PART = ("--calibration-windows=32", "--tasks=none", "--generation-prompts=4", "--max-perplexity-ratio=100")
OPTIONS = (
    "--calibration-windows=16", "--evaluation-windows=40", "--window-tokens=32", "--tasks=none",
    "--generation-prompts=0", "--speed-rounds=0", "--max-perplexity-ratio=100",
)  # fmt: skip
HEARD: list[str] = []


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers of one thread, which know of no Prefect server."""
    folder = tmp_path_factory.mktemp("dask")
    address = f"127.0.0.1:{free_port()}"
    # Workers import this module, to be listened to.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    host, port = address.split(":")
    more = {"scheduler": ("--port", port), "worker": ("--host", host, "--local-directory", folder)}
    with ExitStack() as running:
        for name, command in documented(address).items():
            words = (BIN / "dask", name, *command, *more[name], "--no-dashboard")
            running.enter_context(background(*words, environment=environment, log=folder / name, patience=5))
        with Client(f"tcp://{address}", timeout=120) as client:
            client.wait_for_workers(2, timeout=120)
        yield address


def listen() -> None:
    """In a worker: notes what stages say, and each model that is loaded."""
    import tasks.models

    logger = logging.getLogger("lorp.stage")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(_Ear())
        load = tasks.models.load_model
        tasks.models.load_model = lambda *asked: HEARD.append("load") or load(*asked)
    HEARD.clear()


def spoil() -> None:
    """In a worker: no model can be loaded."""
    import tasks.models

    def refuse(*_: object) -> None:
        raise SpecError("it does not fit", "Take another")

    tasks.models.load_model = refuse


def mend() -> None:
    import tasks.models
    from lorp.models import load_model

    tasks.models.load_model = load_model


def what_was_heard() -> list[str]:
    return HEARD


def torch_threads() -> int:
    import torch

    return int(torch.get_num_threads())


class _Ear(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        HEARD.append(record.getMessage())


def stages(outcome: dict[str, Any]) -> list[str]:
    """Those of the lineage record, in its order."""
    record = json.loads(Path(outcome["lineage"].removeprefix("file://")).read_text())
    return [made["stage"] for made in record["predicate"]["buildDefinition"]["internalParameters"]["stages"]]


def documented(address: str) -> dict[str, list[str]]:
    """What docs/clusters.md gives `dask scheduler` and `dask worker`, at another address."""
    found = re.findall(r"dask (scheduler|worker) (.+)", DOC.read_text())
    host = address.split(":", maxsplit=1)[0]
    return {
        name: options.replace("10.0.0.1:8786", address).replace("10.0.0.1", host).split() for name, options in found
    }


def digests(home: Path) -> dict[str, dict[str, str]]:
    """Output digests of every stage but those whose results hold times and ids."""
    return {
        key: {role: output.sha256 for role, output in manifest.outputs.items()}
        for key, manifest in manifests(home).items()
        if manifest.stage not in ("speed", "register")
    }


def on_cluster(monkeypatch: pytest.MonkeyPatch, home: Path, scheduler: str) -> Path:
    """From now on stages run on the cluster, in another home."""
    monkeypatch.setenv("LORP_HOME", f"{home}-cluster")
    monkeypatch.setenv("LORP_TASK_RUNNER", f"dask://{scheduler}")
    return Path(f"{home}-cluster")


def test_the_cluster_makes_what_the_flows_own_thread_makes(
    recompress: Lorp, home: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = recompress(*PART).json
    theirs = on_cluster(monkeypatch, home, scheduler)
    with Client(f"tcp://{scheduler}") as client:
        client.run(listen)
        # Timings are kept under the key of the worker, whatever the flow's own process has.
        monkeypatch.setattr("torch.get_num_threads", lambda: 7)
        there = recompress(*PART)
        assert there.status == 0, there.err
        threads, heard = client.run(torch_threads), client.run(what_was_heard)
    assert digests(theirs) == digests(home)
    assert there.json["verdict"] == here["verdict"]
    assert stages(there.json) == stages(here)
    assert set(threads.values()) == {1}
    for said in heard.values():
        captures = [word for word in said if word.startswith("capture")]
        assert captures, heard
        assert said[: len(captures) + 1].count("load") == 1
        assert "fetch" not in "".join(said)


def test_a_sweep_does_what_cells_share_once(
    lorp: Lorp, pico: Path, home: Path, scheduler: str, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("sweep", pico, "--remove=1,5", "--method=lorp", "--heal=none,magnitude", "--json", *OPTIONS)
    here = lorp(*asked)
    theirs = on_cluster(monkeypatch, home, scheduler)
    with Client(f"tcp://{scheduler}") as client:
        client.run(listen)
        there = lorp(*asked)
        heard = [word for said in client.run(what_was_heard).values() for word in said]
    assert (there.status, there.json["cells"]) == (here.status, here.json["cells"]), there.err
    assert [cell["approved"] for cell in there.json["cells"]] == [True, True, None, None]
    assert digests(theirs) == digests(home)
    common = [said for said in heard if said.startswith(("capture", "score", "cluster", "evaluate dense"))]
    assert len(set(common)) == len(common) == 5, sorted(heard)


def test_a_fault_in_a_worker_ends_as_it_would_in_the_flow(
    recompress: Lorp, home: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cluster(monkeypatch, home, scheduler)
    with Client(f"tcp://{scheduler}") as client:
        client.run(spoil)
        done = recompress(*PART, "--dtype=bfloat16")
        client.run(mend)
    assert done.status == 2
    assert done.err.splitlines()[-1] == "lorp: it does not fit. Take another."


def test_without_a_server_of_its_own_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORP_TASK_RUNNER", "dask://127.0.0.1:1")
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(SpecError, match="PREFECT_API_URL"):
        check_runner()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORP_TASK_RUNNER", "dask://127.0.0.1:1")
    monkeypatch.setattr("tasks.runner.find_spec", lambda _: None)
    with pytest.raises(SpecError, match="pip install 'prefect-dask"):
        check_runner()


def test_a_scheduler_that_does_not_answer_is_said(recompress: Lorp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORP_TASK_RUNNER", f"dask://127.0.0.1:{free_port()}")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        done = recompress(*PART)
    assert done.status == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1" in done.err


def test_a_scheduler_without_workers_is_said(recompress: Lorp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("LORP_TASK_RUNNER", f"dask://{address}")
    monkeypatch.setattr("tasks.runner._JOINING_SECONDS", 1)
    words = (BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", address.split(":")[1], "--no-dashboard")
    with background(*words, environment=dict(os.environ), log=tmp_path / "log", patience=5):
        done = recompress(*PART)
    assert done.status == 1
    assert f"the Dask scheduler at tcp://{address} has no worker" in done.err
    assert f"dask worker tcp://{address}" in done.err
