"""A streamed model is the model that is loaded as a whole, with no more than one block in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from families import CASES, Case, make_case
from family_row import logits, window_for
from pico import NUM_BLOCKS
from torch import nn

from lorp.body import Body
from lorp.capture import capture_windows
from lorp.capture_streamed import capture_streamed
from lorp.checkpoint import open_checkpoint
from lorp.corpus import Window
from lorp.corpus.uses import FitWindows, HealingWindows, RidgeWindows
from lorp.evaluation.perplexity import window_losses
from lorp.evaluation.streamed import streamed_losses
from lorp.feeding import feed_of
from lorp.healing import heal
from lorp.models import load_model, stream_model
from lorp.plan import Removal, plan_of
from lorp.spec import ComputeSpec, DType
from lorp.spill import Spill

LLAMA, MOE = "Llama: own head, listed kinds", "Qwen3-MoE: tied head, some blocks without experts"
TUPLES = "BLOOM: tied head"
SOME = [case for case in CASES if str(case) in {LLAMA, MOE, TUPLES}]


def window(seed: int, length: int = 40) -> Window:
    tokens = np.random.default_rng(seed).integers(0, 256, length).tolist()
    return Window(id=f"d{seed}@0", document=f"d{seed}", text_sha256="0" * 64, tokens=tuple(tokens))


WINDOWS = [window(0), window(1), window(2, 30), window(3, 30)]
#: Of which seven share a pass.
RAGGED = [window(number, 72) for number in range(8)]


def present(block: nn.Module) -> bool:
    """Whether its weights are in memory."""
    return any(0 not in parameter.stride() for parameter in block.parameters() if parameter.numel() > 1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_says_what_the_loaded_model_says(tmp_path: Path, case: Case, dtype: DType) -> None:
    source, compute = make_case(case, tmp_path), ComputeSpec(dtype=dtype)
    streamed, loaded = stream_model(source, compute), load_model(source, compute)
    assert torch.equal(logits(streamed), logits(loaded))
    body = Body(streamed, case.data)
    assert not any(present(block) for block in body.blocks)
    with torch.inference_mode():
        feed = feed_of([window_for(streamed)], streamed)
        state = body.embedded(feed)
        for block in range(body.num_blocks):
            assert not any(present(each) for each in body.blocks)
            with body.held(block):
                assert [present(each) for each in body.blocks].count(True) == 1
                state = body.step(block, state, feed)
        assert torch.equal(body.logits(feed, state), logits(loaded))


@pytest.mark.parametrize("windows", [WINDOWS, RAGGED], ids=["two lengths", "one more than a pass takes"])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_its_capture_is_that_of_the_loaded_model(tmp_path: Path, case: Case, windows: list[Window]) -> None:
    source = make_case(case, tmp_path / "dense")
    loaded = capture_windows(load_model(source, ComputeSpec()), case.data, windows, 4, 0)
    streamed = capture_streamed(stream_model(source, ComputeSpec()), case.data, windows, 4, 0, tmp_path)
    for one, other in zip(loaded, streamed, strict=True):
        assert one.window == other.window
        np.testing.assert_allclose(one.cosine_sums_LL, other.cosine_sums_LL, rtol=0, atol=1e-5 * len(one.window.tokens))
        assert one.positions_K.tolist() == other.positions_K.tolist()
        np.testing.assert_array_equal(one.units_KLD, other.units_KLD)
        np.testing.assert_array_equal(one.norms_KL, other.norms_KL)
        assert (one.expert_loads_NE is None) == (other.expert_loads_NE is None) == (str(case) != MOE)
        if one.expert_loads_NE is not None and other.expert_loads_NE is not None:
            assert one.expert_loads_NE.tolist() == other.expert_loads_NE.tolist()
    assert {path.name for path in tmp_path.iterdir()} == {"dense"}


@pytest.mark.parametrize("case", SOME, ids=str)
def test_its_losses_are_those_of_the_loaded_model(tmp_path: Path, case: Case) -> None:
    source = make_case(case, tmp_path)
    streamed = streamed_losses(stream_model(source, ComputeSpec()), case.data, WINDOWS, tmp_path)
    assert streamed == window_losses(load_model(source, ComputeSpec()), WINDOWS)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_it_is_healed_as_the_loaded_model(tmp_path: Path, case: Case) -> None:
    source = make_case(case, tmp_path)
    checkpoint = open_checkpoint(source)
    plan = plan_of("by hand", NUM_BLOCKS, [Removal(block=block, cluster=None, score=0.0) for block in (1, 3)])
    uses = HealingWindows(fit=FitWindows(tuple(WINDOWS)), ridge=RidgeWindows(tuple(WINDOWS[:2])))
    models = stream_model(source, ComputeSpec()), load_model(source, ComputeSpec())
    before = logits(models[0])
    streamed, loaded = (heal(model, checkpoint, plan, uses, "auto") for model in models)
    assert streamed.attempts == loaded.attempts
    assert [attempt.refused for attempt in streamed.attempts] == [None] * 4
    assert streamed.repaired.tensors.keys() == loaded.repaired.tensors.keys()
    assert all(
        torch.equal(streamed.repaired.tensors[name], loaded.repaired.tensors[name]) for name in loaded.repaired.tensors
    )
    assert torch.equal(logits(models[0]), before)
    assert not any(present(block) for block in models[0].get_submodule(case.data.blocks_path).children())


def test_states_that_do_not_fit_are_in_files(tmp_path: Path) -> None:
    values = [torch.randn(3, 4).to(dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)]
    with Spill(memory_bytes=48, folder=tmp_path) as spill:
        for number, value in enumerate(values):
            spill[number] = value
        assert len(list(tmp_path.glob("*/*"))) == 2
        for number in (0, 1, 2):
            assert torch.equal(spill[number], values[number])
            spill[number] = spill[number] * 2
        assert all(torch.equal(spill[number], values[number] * 2) for number in (0, 1, 2))
    assert not list(tmp_path.iterdir())
