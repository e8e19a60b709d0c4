"""The search as a stage: each plan that is tried is kept, so that a search that was killed tries none twice."""

import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from pico import make_pico
from test_healing import random_windows

from lorp.clustering import Clustering
from lorp.corpus.uses import deal
from lorp.plan import PruningPlan
from lorp.search.trials import ModelTrials
from lorp.similarity import Similarity
from lorp.spec import ComputeSpec, PruningSpec
from lorp.values import decode, encode
from tasks.search import Depth, GuessDepth, Search
from tasks.stage import run_stage
from tasks.store import FolderStore
from tasks.vault import Reference, Vault

Asked = list[tuple[tuple[int, ...], bool]]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(FolderStore(tmp_path / "store"))


@pytest.fixture
def searching(vault: Vault, tmp_path: Path) -> dict[str, object]:
    folder = make_pico(tmp_path / "pico", initializer_range=0.08)
    checkpoint = vault.put_folder("checkpoints", folder, sorted(path.name for path in folder.iterdir()))
    boundaries = np.eye(7) + 0.9 * (1 - np.eye(7))
    similarity = Similarity(
        boundaries=tuple(map(tuple, boundaries.tolist())), rls=0.5, rls_low=0.4, rls_high=0.6, num_windows=1,
        num_tokens=1, num_documents=1,
    )  # fmt: skip

    def put(value: object) -> Reference:
        return vault.put("values", encode(value), ".json")

    return {
        "checkpoint": checkpoint,
        "similarity": put(similarity),
        "clustering": put(Clustering(kind="spectral", labels=(0, 0, 0, 1, 1, 1))),
        "windows": put(deal("search", random_windows(*range(14)), (8, 3, 3))),
        "mended": True,
        "max_swaps": 6,
        "seed": 0,
        "compute_spec": ComputeSpec(),
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Plans that were run, in order."""
    run: Asked = []
    losses = ModelTrials.losses

    def noting(self: ModelTrials, removed: Collection[int], mended: bool) -> tuple[float, ...]:
        run.append((tuple(removed), mended))
        return losses(self, removed, mended)

    monkeypatch.setattr(ModelTrials, "losses", noting)
    return run


def plan_of(vault: Vault, request: Search) -> PruningPlan:
    return decode(PruningPlan, vault.read(run_stage(vault, request).outputs["plan"]))


def test_a_search_that_was_killed_goes_on_and_tries_nothing_twice(
    vault: Vault, searching: dict[str, object], asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request = Search(**searching, spec=PruningSpec(), count=2)
    noting = ModelTrials.losses

    def killed(self: ModelTrials, removed: Collection[int], mended: bool) -> tuple[float, ...]:
        if len(asked) == 5:
            raise KeyboardInterrupt
        return noting(self, removed, mended)

    with monkeypatch.context() as patched:
        patched.setattr(ModelTrials, "losses", killed)
        with pytest.raises(KeyboardInterrupt):
            run_stage(vault, request)
    assert len(asked) == 5
    plan = plan_of(vault, request)
    once = list(asked)
    assert len(set(once)) < len(once)  # the same plans were run on the windows that confirm
    for folder in ("checkpoints", "values"):
        shutil.copytree(tmp_path / "store" / folder, tmp_path / "other" / folder)
    assert plan_of(Vault(FolderStore(tmp_path / "other")), request) == plan
    assert sorted(asked[len(once) :]) == sorted(once)


def test_another_count_tries_only_what_is_new(vault: Vault, searching: dict[str, object], asked: Asked) -> None:
    plan_of(vault, Search(**searching, spec=PruningSpec(method="greedy"), count=1))
    assert sorted(asked) == [((block,), False) for block in range(1, 5)]
    asked.clear()
    plan_of(vault, Search(**searching, spec=PruningSpec(method="greedy"), count=2))
    assert {len(removed) for removed, _ in asked} == {2}


def test_depth_is_guessed_from_the_same_trials(vault: Vault, searching: dict[str, object], asked: Asked) -> None:
    def depth(ratio: float) -> int:
        guess = GuessDepth(**searching, max_perplexity_ratio=ratio, max_perplexity=None)
        return decode(Depth, vault.read(run_stage(vault, guess).outputs["depth"])).count

    assert depth(100.0) == 4
    num_asked = len(asked)
    assert depth(1e-6) == 1
    assert len(asked) == num_asked
