"""`make demo` on a real model: what it says, that a second one reuses everything, and that the numbers are true."""

import json
import os
import re
import shutil
import subprocess
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import oracle_plan
from support import manifests
from transformers import AutoModelForCausalLM, AutoTokenizer

from flows.demo import demo_source
from lorp.checkpoint import open_checkpoint
from lorp.clustering import Clustering
from lorp.errors import CountError, SourceError
from lorp.plan import PruningPlan
from lorp.selection import Grounds, make_plan
from lorp.similarity import Similarity
from lorp.spec import PruningSpec
from lorp.surgery import prune
from lorp.values import decode
from tasks.fetch import fetch_request
from tasks.stage import run_stage
from tasks.store import FolderStore
from tasks.vault import Manifest, Vault

ROOT = Path(__file__).parents[2]
NUM_BLOCKS = 30


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A finished demonstration."""

    home: Path
    out: str
    err: str

    @property
    def table(self) -> str:
        """What lorp printed, without what make did before."""
        return self.out[self.out.index("smollm2-135m-instruct-lorp") :]

    def made(self, stage: str) -> list[Manifest]:
        """The manifests of a stage."""
        return [manifest for manifest in manifests(self.home).values() if manifest.stage == stage]

    def folder(self, stage: str, role: str) -> Path:
        """The largest folder that a stage made."""
        outputs = sorted((manifest.outputs[role] for manifest in self.made(stage)), key=lambda output: -output.bytes)
        return self.home / "store" / outputs[0].key

    def value(self, stage: str, role: str) -> bytes:
        """The value that a stage made."""
        return (self.home / "store" / self.made(stage)[0].outputs[role].key).read_bytes()


def make_demo(home: Path) -> Demo:
    environment = {**os.environ, "PREFECT_HOME": str(home / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", f"DEMO_HOME={home}"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Demo(home=home, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    try:
        demo_source()
    except SourceError as missing:
        pytest.skip(str(missing))
    if not (ROOT / ".venv/bin/lorp").exists():
        pytest.skip("make demo would install everything: run the tests with make test")
    return make_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def similarity(demo: Demo) -> Similarity:
    return decode(Similarity, demo.value("score", "similarity"))


def test_it_ends_with_a_table_of_one_approved_and_one_rejected(demo: Demo) -> None:
    assert re.search(r"verdict\W+APPROVED\W+REJECTED", demo.out)
    assert re.search(r"model version\W+1\W+-", demo.out)
    reports = re.findall(r"report +(\S+\.html)", demo.out)
    assert len(reports) == 2
    assert all("<html" in Path(report).read_text() for report in reports)
    assert f"python3 -m webbrowser {reports[-1]}" in demo.out


def test_a_second_one_does_no_forward_pass_and_says_the_same(demo: Demo) -> None:
    before = manifests(demo.home)
    again = make_demo(demo.home)
    assert manifests(demo.home) == before
    assert "started" not in again.err
    assert "windows" not in again.err
    assert again.table == demo.table


def test_its_locality_is_what_was_measured_elsewhere(similarity: Similarity, demo: Demo) -> None:
    assert similarity.rls == pytest.approx(0.675, abs=0.02)
    assert similarity.rls_low < similarity.rls < similarity.rls_high
    assert len(decode(Clustering, demo.value("cluster", "clustering")).clusters) == 4


@pytest.mark.parametrize("method", ["lorp", "shortgpt", "streamline"])
@pytest.mark.parametrize("criterion", ["similarity", "residual-variance"])
def test_plans_for_every_count_equal_the_oracles(
    similarity: Similarity, demo: Demo, method: str, criterion: str
) -> None:
    clustering = decode(Clustering, demo.value("cluster", "clustering"))
    rows = similarity.block_inputs.tolist()
    for count in range(1, NUM_BLOCKS - 1):
        spec = PruningSpec(method=method, criterion=criterion)
        grounds = Grounds(similarity=similarity.block_inputs, clustering=clustering)
        expected = oracle_plan(method, rows, [list(members) for members in clustering.clusters], count, criterion)
        if expected is None:
            with pytest.raises(CountError):
                make_plan(grounds, count, spec)
        else:
            assert list(make_plan(grounds, count, spec).removed) == expected


def test_the_variant_equals_the_dense_model_with_the_blocks_skipped_bit_for_bit(demo: Demo) -> None:
    dense_folder, variant_folder = demo.folder("fetch", "checkpoint"), demo.folder("prune", "variant")
    removed = json.loads((variant_folder / "pruning_plan.json").read_text())["removed"]
    variant, loading = AutoModelForCausalLM.from_pretrained(variant_folder, output_loading_info=True)
    assert not any(loading.values())
    dense = AutoModelForCausalLM.from_pretrained(dense_folder)
    for block in removed:
        dense.model.layers[block].forward = lambda hidden_states, **_: hidden_states
    tokenizer = AutoTokenizer.from_pretrained(variant_folder)
    inputs = tokenizer("The import statement finds a module and", return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(variant(**inputs).logits, dense(**inputs).logits)
    made = [
        variant.generate(**inputs, max_new_tokens=12, min_new_tokens=12, do_sample=False, use_cache=use_cache)
        for use_cache in (True, False)
    ]
    assert torch.equal(*made)


def test_what_lies_beside_a_gguf_file_is_not_taken(demo: Demo, pico: Path, tmp_path: Path) -> None:
    beside = Path(shutil.copytree(pico, tmp_path / "beside")) / "model.gguf"
    beside.symlink_to(demo_source())
    request = fetch_request(str(beside), "float32")
    assert run_stage(Vault(FolderStore(tmp_path / "store")), request).outputs == demo.made("fetch")[0].outputs


def test_surgery_holds_no_weights_in_memory(demo: Demo, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(demo.folder("fetch", "checkpoint"))
    plan = decode(PruningPlan, demo.value("plan", "plan"))
    tracemalloc.start()
    prune(checkpoint, plan, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert checkpoint.weight_bytes > 500e6
    assert peak < 32e6


def test_calibration_and_evaluation_share_no_topic(demo: Demo) -> None:
    documents = []
    for manifest in demo.made("windows"):
        windows = json.loads((demo.home / "store" / manifest.outputs["windows"].key).read_bytes())["windows"]
        assert np.unique([len(window["tokens"]) for window in windows]).tolist() == [256]
        documents.append({window["document"] for window in windows})
    assert len(documents) == 2
    assert not documents[0] & documents[1]
