"""A pico model's plans, patch and intervals, as they were when they were last looked at.

`LORP_WRITE_GOLDEN=1 pytest tests/lorp/test_golden.py` writes them anew. Plans must be equal; what rests on sums of
floating point numbers is compared within a thousandth.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pico import make_pico
from test_healing import random_windows

from lorp.capture import capture_windows
from lorp.checkpoint import open_checkpoint
from lorp.clustering import cluster_blocks, num_clusters_for
from lorp.corpus.uses import deal
from lorp.evaluation.perplexity import window_losses
from lorp.healing import heal
from lorp.models import load_model
from lorp.parquet import decode_windows, encode_windows
from lorp.search.frontier import standing
from lorp.search.trials import ModelTrials
from lorp.selection import Grounds, make_plan
from lorp.similarity import similarity_of
from lorp.spec import ComputeSpec, GateSpec, PruningSpec
from lorp.stability import stability_of_capture

GOLDEN = Path(__file__).with_name("golden.json")
COUNT, SEED = 3, 0


def computed(folder: Path) -> dict[str, Any]:
    """Everything from the capture to the frontier."""
    checkpoint = open_checkpoint(make_pico(folder, initializer_range=0.08, num_hidden_layers=9))
    model = load_model(checkpoint.folder, ComputeSpec())
    captures = capture_windows(model, checkpoint.family, random_windows(*range(100, 112)), 4, SEED)
    sums = decode_windows(encode_windows(captures, {}))
    similarity = similarity_of([sums], SEED)
    clustering = cluster_blocks(similarity.block_inputs, num_clusters_for(similarity.rls), "spectral")
    search, healing = deal("search", random_windows(*range(24)), (14, 5, 5)), random_windows(*range(30, 50))
    trials = [ModelTrials(model, checkpoint, search.mend, judged) for judged in (search.score, search.confirm)]
    plans = {
        f"{method}{', mended' if mended else ''}": make_plan(
            Grounds(
                similarity=similarity.block_inputs, clustering=clustering, trials=trials[0], confirming=trials[1],
                mended=mended, max_swaps=12, seed=SEED,
            ),
            COUNT,
            PruningSpec(method=method),
        )
        for mended in (False, True)
        for method in ("lorp", "shortgpt", "streamline", "greedy", "auto")
    }  # fmt: skip
    healed = heal(model, checkpoint, plans["auto, mended"], deal("healing", healing, (15, 5)), "auto")
    dense, worse = (window_losses(model, random_windows(*range(60 + shift, 72 + shift))) for shift in (0, 20))
    stood = standing(dense, worse, GateSpec(max_perplexity_ratio=1.2), 64, 64)
    assert stood
    stability = stability_of_capture(
        [sums],
        lambda block_inputs: (
            make_plan(
                Grounds(similarity=block_inputs, clustering=clustering), COUNT, PruningSpec(method="shortgpt")
            ).removed
        ),
        SEED,
    )
    return {
        "rls": [similarity.rls_low, similarity.rls, similarity.rls_high],
        "clusters": [list(members) for members in clustering.clusters],
        "plans": {name: list(plan.removed) for name, plan in plans.items()},
        "proposals": {entry.method: [entry.loss, entry.confirmed_loss] for entry in plans["auto, mended"].proposals},
        "healing": healed.method,
        "attempts": {entry.method: entry.loss for entry in healed.attempts},
        "repairs": [[entry.block, entry.site, entry.error] for entry in healed.repaired.repairs],
        "patch": {name: float(tensor.double().norm()) for name, tensor in healed.repaired.tensors.items()},
        "standing": [stood.side, stood.lower, stood.ratio, stood.upper],
        "stability": list(stability.shares),
    }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a nested one, with its path."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in items:
            yield from leaves(part, f"{path}/{name}")
    else:
        yield path, value


def test_plans_patches_and_intervals_are_what_they_were(tmp_path: Path) -> None:
    found = computed(tmp_path)
    if os.environ.get("LORP_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(GOLDEN.read_text())
    assert dict(leaves(found)).keys() == dict(leaves(expected)).keys()
    for path, value in leaves(expected):
        told = dict(leaves(found))[path]
        assert told == (pytest.approx(value, rel=1e-3, abs=1e-6) if isinstance(value, float) else value), path


def test_the_same_seed_gives_the_same_to_the_last_bit(tmp_path: Path) -> None:
    assert computed(tmp_path / "one") == computed(tmp_path / "other")
