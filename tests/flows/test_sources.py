"""The main job on sources by address, and that the hub is asked for nothing else."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from model_hub import ModelHub
from pico import NUM_BLOCKS
from prefect.settings import PREFECT_API_URL
from support import PICO_OPTIONS, Lorp, manifests

LOOSE = "--max-perplexity-ratio=100"


@pytest.mark.usefixtures("prefect_server")
def test_a_model_on_the_hub_and_then_the_variant_that_was_registered(
    lorp: Lorp, model_hub: ModelHub, pico: Path, home: Path
) -> None:
    repo = f"org/Pico-{uuid4().hex}"
    commit = model_hub.add(repo).commit(pico, "v1")
    first = lorp("recompress", f"hf://{repo}@v1", "--remove=1", *PICO_OPTIONS, "--json", LOOSE)
    assert first.status == 0, first.err
    name = f"{repo.removeprefix('org/').lower()}-lorp"
    assert first.json["name"] == name
    [fetch] = [done for done in manifests(home).values() if done.stage == "fetch"]
    assert fetch.inputs == {"kind": "hub", "repo": repo, "commit": commit}

    again = lorp(
        "recompress", f"mlflow:models:/{name}@candidate", "--remove=1", "--name=pico", *PICO_OPTIONS, "--json", LOOSE
    )
    assert again.status == 0, again.err
    assert again.json["checkpoint"]["num_blocks"] == NUM_BLOCKS - 1
    assert again.json["checkpoint"]["weight_bytes"] == first.json["variant"]["weight_bytes"]


@pytest.mark.usefixtures("prefect_server")
def test_the_hub_is_asked_for_nothing_by_a_job_that_names_nothing_on_it(
    model_hub: ModelHub, pico: Path, home: Path
) -> None:
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value(), "HF_ENDPOINT": model_hub.url}
    environment.pop("HF_HUB_OFFLINE")
    run = "import sys; from flows.cli import main; main()"
    command = [sys.executable, "-c", run, "recompress", pico, "--remove=1", *PICO_OPTIONS, LOOSE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert model_hub.seen == []


def test_what_the_hub_does_not_have_is_said_before_anything_is_started(lorp: Lorp, model_hub: ModelHub) -> None:
    done = lorp("recompress", "hf://org/none", "--remove=1", *PICO_OPTIONS)
    assert done.status == 2
    assert done.err.startswith("lorp: there is no hf://org/none@main")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("place", ["--store=ftp://host/results", "--tracking-uri=ftp://host/mlflow"])
def test_nothing_is_brought_here_before_it_is_known_where_results_go(
    lorp: Lorp, model_hub: ModelHub, pico: Path, place: str
) -> None:
    model_hub.add("org/order").commit(pico)
    done = lorp("recompress", "hf://org/order", "--remove=1", *PICO_OPTIONS, place)
    assert done.status in (1, 2), done.err
    assert "ftp" in done.err
    assert model_hub.seen == []
