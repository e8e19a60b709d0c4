"""What is captured equals what transformers' own hidden states give, and only that is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pico import NUM_BLOCKS
from transformers import PreTrainedModel

from lorp.architectures import LLAMA
from lorp.capture import WindowCapture, capture_windows, sampled_positions
from lorp.corpus import Window
from lorp.errors import SourceError
from lorp.models import load_model
from lorp.spec import ComputeSpec


@pytest.fixture(scope="module")
def model(pico: Path) -> PreTrainedModel:
    return load_model(pico, ComputeSpec())


def window(seed: int = 0, length: int = 300) -> Window:
    tokens = np.random.default_rng(seed).integers(0, 256, length).tolist()
    return Window(id=f"d{seed}@0", document=f"d{seed}", text_sha256="0" * 64, tokens=tuple(tokens))


def captured(model: PreTrainedModel, *windows: Window) -> list[WindowCapture]:
    return capture_windows(model, LLAMA, windows, sampled_tokens=5, seed=0)


def boundary_states(model: PreTrainedModel, window: Window) -> torch.Tensor:
    """The N + 1 boundaries; transformers norms the last of its hidden states, so that one is hooked before its norm."""
    before_norm: list[torch.Tensor] = []
    hook = model.model.norm.register_forward_pre_hook(lambda _, args: before_norm.append(args[0]))
    with torch.inference_mode():
        states = model(torch.tensor([window.tokens]), output_hidden_states=True).hidden_states
    hook.remove()
    return torch.stack([*states[:-1], before_norm[0]])[:, 0].double()


def test_cosine_sums_equal_those_of_transformers_hidden_states(model: PreTrainedModel) -> None:
    unit = torch.nn.functional.normalize(boundary_states(model, window()), dim=-1)
    expected = torch.einsum("itd,jtd->ij", unit, unit).numpy()
    [capture] = captured(model, window())
    assert capture.cosine_sums_LL.shape == (NUM_BLOCKS + 1, NUM_BLOCKS + 1)
    assert capture.cosine_sums_LL.dtype == np.float64
    np.testing.assert_allclose(capture.cosine_sums_LL, expected, rtol=0, atol=300 * 1e-5)
    np.testing.assert_allclose(np.diag(capture.cosine_sums_LL), 300, rtol=1e-6)


def test_sampled_states_are_those_of_the_sampled_tokens(model: PreTrainedModel) -> None:
    states = boundary_states(model, window())
    [capture] = captured(model, window())
    assert capture.positions_K.tolist() == sampled_positions(window(), len(window().tokens), 5, 0)
    for row, position in enumerate(capture.positions_K):
        norms = states[:, position].norm(dim=-1)
        np.testing.assert_allclose(capture.norms_KL[row], norms, rtol=1e-5)
        np.testing.assert_allclose(capture.units_KLD[row], states[:, position] / norms[:, None], atol=1e-3)
    assert (capture.units_KLD.dtype, capture.norms_KL.dtype) == (np.float16, np.float32)


def test_a_window_is_captured_alike_alone_and_among_others(model: PreTrainedModel) -> None:
    [alone] = captured(model, window(1))
    among = captured(model, window(0, 64), window(1), window(2, 32))[1]
    np.testing.assert_array_equal(alone.cosine_sums_LL, among.cosine_sums_LL)
    np.testing.assert_array_equal(alone.units_KLD, among.units_KLD)


def test_windows_that_share_a_pass_are_captured_as_alone_but_for_rounding(model: PreTrainedModel) -> None:
    windows = [window(seed, 101) for seed in range(7)]
    passes: list[int] = []
    hook = model.model.register_forward_pre_hook(
        lambda _, __, given: passes.append(len(given["input_ids"])), with_kwargs=True
    )
    together = captured(model, *windows)
    hook.remove()
    assert passes == [5, 2]
    assert [capture.window for capture in together] == windows
    for given, capture in zip(windows, together, strict=True):
        [alone] = captured(model, given)
        np.testing.assert_allclose(capture.cosine_sums_LL, alone.cosine_sums_LL, rtol=0, atol=101 * 1e-5)
        np.testing.assert_array_equal(capture.positions_K, alone.positions_K)
        np.testing.assert_allclose(capture.units_KLD, alone.units_KLD, rtol=0, atol=1e-3)
        np.testing.assert_allclose(capture.norms_KL, alone.norms_KL, rtol=1e-5)


def test_sampling_is_seeded_and_never_more_than_the_window_has() -> None:
    one, again, other = (sampled_positions(window(), len(window().tokens), 5, seed) for seed in (0, 0, 1))
    assert one == again != other
    assert sampled_positions(window(length=3), 3, 5, 0) == [0, 1, 2]


def test_leaves_no_hooks_behind_even_when_it_fails(model: PreTrainedModel) -> None:
    def hooks() -> list[int]:
        return [len(block._forward_pre_hooks) + len(block._forward_hooks) for block in model.model.layers]

    broken = Window(id="x@0", document="x", text_sha256="", tokens=(0, 1, 99_999))
    before = hooks()
    with pytest.raises(IndexError):
        captured(model, broken)
    assert hooks() == before


def test_the_language_model_head_is_not_run(model: PreTrainedModel) -> None:
    runs: list[int] = []
    hook = model.lm_head.register_forward_hook(lambda *_: runs.append(1))
    captured(model, window())
    hook.remove()
    assert not runs


def test_refuses_states_that_are_not_finite(pico: Path) -> None:
    model = load_model(pico, ComputeSpec())
    model.model.layers[2].mlp.down_proj.weight.data.fill_(float("nan"))
    with pytest.raises(SourceError, match="not finite"):
        captured(model, window())


def test_the_window_that_is_refused_is_named(pico: Path) -> None:
    model = load_model(pico, ComputeSpec())
    windows = [Window(id=f"d{token}@0", document="d", text_sha256="", tokens=(token,) * 9) for token in (3, 4, 5)]
    model.model.embed_tokens.weight.data[4] = 0
    with pytest.raises(SourceError, match="window d4@0 are zero"):
        captured(model, *windows)


def test_refuses_states_that_are_zero(pico: Path) -> None:
    model = load_model(pico, ComputeSpec())
    model.model.embed_tokens.weight.data[window().tokens[3]] = 0
    with pytest.raises(SourceError, match="zero or not finite"):
        captured(model, window())
