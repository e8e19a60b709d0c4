"""What plans cost: the same as of the pruned model, as mended as an independent solution says, however it is reused."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import make_pico
from test_healing import random_windows
from transformers import PreTrainedModel

from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.corpus.uses import MendWindows, ScoreWindows
from lorp.evaluation.perplexity import window_losses
from lorp.models import load_model
from lorp.search.trials import MEND_RIDGE, ModelTrials
from lorp.spec import ComputeSpec

MEND, SCORE = MendWindows(random_windows(*range(9))), ScoreWindows(random_windows(*range(40, 45)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(make_pico(tmp_path_factory.mktemp("gentle"), initializer_range=0.08))


@pytest.fixture
def model(checkpoint: Checkpoint) -> PreTrainedModel:
    return load_model(checkpoint.folder, ComputeSpec())


@pytest.fixture
def trials(model: PreTrainedModel, checkpoint: Checkpoint) -> ModelTrials:
    return ModelTrials(model, checkpoint, MEND, SCORE)


def skipping_losses(folder: Path, removed: tuple[int, ...]) -> list[float | None]:
    model = load_model(folder, ComputeSpec())
    for block in removed:
        model.model.layers[block].forward = lambda state, *_, **__: state
    return [item.loss for item in window_losses(model, SCORE.windows)]


@pytest.mark.parametrize("removed", [(), (1,), (4,), (1, 2), (2, 4), (1, 3, 4)])
def test_an_unmended_plan_costs_what_the_pruned_model_loses(
    trials: ModelTrials, checkpoint: Checkpoint, removed: tuple[int, ...]
) -> None:
    expected = skipping_losses(checkpoint.folder, removed)
    assert trials.losses(removed, mended=False) == pytest.approx(expected, abs=1e-5)


def test_a_mended_plan_costs_what_an_independent_solution_says(
    trials: ModelTrials, model: PreTrainedModel, checkpoint: Checkpoint
) -> None:
    changed = load_model(checkpoint.folder, ComputeSpec())
    down, taken, wanted, have = changed.model.layers[1].mlp.down_proj, [], [], []
    hook = down.register_forward_pre_hook(lambda _, args: taken.append(args[0][0].double().numpy()))
    with torch.inference_mode():
        for window in MEND.windows:
            states = changed(torch.tensor([window.tokens]), output_hidden_states=True).hidden_states
            wanted.append(states[4][0].double().numpy())
            have.append(states[2][0].double().numpy())
    hook.remove()
    a, y = np.concatenate(taken), np.concatenate(wanted) - np.concatenate(have)
    weights = 1 / np.linalg.norm(np.concatenate(wanted), axis=1, keepdims=True)
    a, y = a * weights, y * weights
    penalty = MEND_RIDGE * np.mean(np.diag(a.T @ a))
    change = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ y)
    down.weight.data += torch.tensor(change.T, dtype=torch.float32)
    for block in (2, 3):
        changed.model.layers[block].forward = lambda state, *_, **__: state
    expected = [item.loss for item in window_losses(changed, SCORE.windows)]
    assert trials.losses((2, 3), mended=True) == pytest.approx(expected, abs=1e-4)
    assert trials.losses((2, 3), mended=True) != pytest.approx(skipping_losses(checkpoint.folder, (2, 3)), abs=1e-4)


@pytest.mark.parametrize("mended", [False, True])
def test_states_that_are_reused_change_nothing(
    trials: ModelTrials, model: PreTrainedModel, checkpoint: Checkpoint, mended: bool
) -> None:
    plans = [(1,), (1, 4), (1, 3, 4), (2, 4), (3, 4), (4,)]
    anew = [ModelTrials(model, checkpoint, MEND, SCORE).losses(plan, mended) for plan in plans]
    for settled in ((1, 4), (3, 4), (1,)):
        trials.settle(settled, mended)
        assert [trials.losses(plan, mended) for plan in plans] == anew


def test_a_settled_plan_is_not_run_from_the_start(trials: ModelTrials, monkeypatch: pytest.MonkeyPatch) -> None:
    trials.settle((1, 3), mended=True)
    run: list[int] = []
    step = trials._body.step
    monkeypatch.setattr(trials._body, "step", lambda block, *rest: run.append(block) or step(block, *rest))
    trials.losses((1, 3, 4), mended=True)
    assert set(run) == {2, 5}
    trials.settle((2,), mended=True)
    run.clear()
    trials.losses((1, 3, 4), mended=True)
    assert set(run) == {0, 2, 5}  # only states along the last plan are held


def test_a_loss_that_is_not_finite_is_infinite(model: PreTrainedModel, checkpoint: Checkpoint) -> None:
    model.model.layers[3].mlp.down_proj.weight.data.fill_(math.inf)
    trials = ModelTrials(model, checkpoint, MEND, SCORE)
    assert set(trials.losses((1,), mended=False)) == {math.inf}
    assert set(trials.losses((1,), mended=True)) == {math.inf}
    assert all(map(math.isfinite, trials.losses((3,), mended=False)))
