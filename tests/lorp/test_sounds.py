"""A model that hears: what it is given, and that every way to run it says the same."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from family_row import logits_by_blocks
from sounds import SETTINGS, extractor, heard, make_whisper, noise
from transformers import GenerationMixin

from lorp.body import Body
from lorp.capture import capture_windows
from lorp.capture_check import capture_fault
from lorp.capture_streamed import capture_streamed
from lorp.checkpoint import open_checkpoint
from lorp.errors import SpecError
from lorp.evaluation.decoding import text_prompt
from lorp.evaluation.generation import continue_prompts
from lorp.evaluation.perplexity import window_losses
from lorp.evaluation.speed import measure_memory
from lorp.evaluation.streamed import streamed_losses
from lorp.feeding import feed_of, feeds, passes_of
from lorp.models import load_model, stream_model
from lorp.parquet import decode_states, decode_windows, encode_states, encode_windows
from lorp.plan import Stack
from lorp.spec import CalibrationSpec, ComputeSpec, EvaluationSpec, GenerationSpec, RecompressSpec
from tasks.audit.asked import asked_faults
from tasks.chain import Chain

POSITIONS = SETTINGS["max_source_positions"]
WINDOWS = [heard([5, 6, 7], seed=0), heard([5, 6, 7], seed=1), heard([8, 9, 2, 2], seed=2)]
STACKS: list[Stack] = ["encoder", "decoder"]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("whisper"))


def features(seed: int) -> torch.Tensor:
    """Of the sound of a window, by the extractor itself; files hold 16 bits."""
    rounded = ((noise(seed) * 2**15).round() / 2**15).astype("float32")
    made: torch.Tensor = extractor()(rounded, sampling_rate=16_000, return_tensors="pt")["input_features"]
    return made


def test_a_loss_is_that_of_the_whole_text_given_its_sound(whisper: Path) -> None:
    model = load_model(whisper, ComputeSpec())
    found = window_losses(model, WINDOWS)
    with torch.inference_mode():
        for window, loss, seed in zip(WINDOWS, found, range(3), strict=True):
            said = model(input_features=features(seed), labels=torch.tensor([window.tokens]))
            assert loss.num_predicted == len(window.tokens)
            assert loss.loss == pytest.approx(float(said.loss), rel=1e-6)
    assert found[0].loss != found[1].loss


def test_a_sound_shares_no_pass() -> None:
    assert [len(passed) for passed in passes_of(WINDOWS)] == [1, 1, 1]


@pytest.mark.parametrize("stack", STACKS)
def test_blocks_run_on_what_was_made_of_their_own_sound(whisper: Path, stack: Stack) -> None:
    model, family = load_model(whisper, ComputeSpec()), open_checkpoint(whisper, stack).family
    passes = feeds(WINDOWS, model)
    with torch.inference_mode():
        for feed, said in zip(passes, logits_by_blocks(Body(model, family), passes), strict=True):
            assert torch.equal(said, model(**feed.inputs).logits)


@pytest.mark.parametrize("stack", STACKS)
def test_a_streamed_model_hears_what_the_loaded_one_hears(whisper: Path, stack: Stack, tmp_path: Path) -> None:
    family = open_checkpoint(whisper, stack).family
    loaded, streamed = load_model(whisper, ComputeSpec()), stream_model(whisper, ComputeSpec())
    assert streamed_losses(streamed, family, WINDOWS, tmp_path) == window_losses(loaded, WINDOWS)
    ours = capture_streamed(streamed, family, WINDOWS, 4, 0, tmp_path)
    for one, other in zip(ours, capture_windows(loaded, family, WINDOWS, 4, 0), strict=True):
        assert one.num_tokens == other.num_tokens
        assert one.positions_K.tolist() == other.positions_K.tolist()
        assert abs(one.cosine_sums_LL - other.cosine_sums_LL).max() < 1e-4
        assert abs(one.norms_KL - other.norms_KL).max() < 1e-4


@pytest.mark.parametrize("stack", STACKS)
def test_a_capture_of_sounds_is_of_all_positions_and_holds_against_its_windows(whisper: Path, stack: Stack) -> None:
    family = open_checkpoint(whisper, stack).family
    captures = capture_windows(load_model(whisper, ComputeSpec()), family, WINDOWS, sampled_tokens=2, seed=0)
    sizes = [POSITIONS] * 3 if stack == "encoder" else [3, 3, 4]
    assert [capture.num_tokens for capture in captures] == sizes
    assert [window.num_states(stack) for window in WINDOWS] == ([None] * 3 if stack == "encoder" else sizes)
    shard = decode_windows(encode_windows(captures, {})), decode_states(encode_states(captures, {}))
    windows = {window.id: window for window in WINDOWS}
    assert capture_fault(windows, [shard], 2, 0, stack) is None
    other = "was not sampled as its seed says"
    assert other in (capture_fault(windows, [shard], 2, 1, stack) or "")
    for size in (0, -1):
        emptied = replace(shard[0], num_tokens=np.full(3, size)), shard[1]
        assert other in (capture_fault(windows, [emptied], 2, 0, stack) or "")
    if stack == "decoder":
        longer = {**windows, "rows/0@0": replace(WINDOWS[0], tokens=(5, 6, 7, 8))}
        assert other in (capture_fault(longer, [shard], 2, 0, stack) or "")


def test_a_text_is_made_of_a_sound_as_transformers_makes_it(whisper: Path) -> None:
    model: Any = load_model(whisper, ComputeSpec())
    spec = GenerationSpec(num_prompts=3, max_new_tokens=12)
    found = continue_prompts(model, WINDOWS, lambda tokens: ",".join(map(str, tokens)), spec)
    plain = {"do_sample": False, "num_beams": 1, "return_dict_in_generate": False}
    for seed, continuation in enumerate(found):
        expected = GenerationMixin.generate(model, input_features=features(seed), max_new_tokens=12, **plain)
        written = expected[0, 1:].tolist()
        assert list(continuation.tokens) == (written[:-1] if continuation.ended else written)
        assert (continuation.prompt_text, continuation.document) == ("", f"rows/{seed}")


def test_a_text_that_is_made_of_a_sound_ends_where_the_model_ends_it(whisper: Path, tmp_path: Path) -> None:
    spec = GenerationSpec(num_prompts=1, max_new_tokens=12)
    model = load_model(whisper, ComputeSpec())
    [free] = continue_prompts(model, WINDOWS, str, spec)
    model.generation_config.eos_token_id = stop = free.tokens[-1]  # type: ignore[union-attr]
    [ended] = continue_prompts(model, WINDOWS, str, spec)
    assert (ended.tokens, ended.ended) == (free.tokens[: free.tokens.index(stop)], True)


def test_half_precision_hears_about_the_same(whisper: Path) -> None:
    losses = [
        window_losses(load_model(whisper, ComputeSpec(dtype=dtype)), WINDOWS) for dtype in ("float32", "bfloat16")
    ]
    for one, other in zip(*losses, strict=True):
        assert math.isfinite(other.loss)
        assert other.loss == pytest.approx(one.loss, rel=0.05)


def test_memory_of_a_sound_is_of_what_its_encoder_makes_of_it(whisper: Path) -> None:
    model = load_model(whisper, ComputeSpec())
    prompt = feed_of(WINDOWS[:1], model)
    assert prompt.num_read == POSITIONS
    # Keys and values of 16 numbers of 4 bytes for every position in 3 blocks, and of the one token that begins.
    assert measure_memory(model, prompt).kv_token == (POSITIONS + 1) * 3 * 2 * 16 * 4 // POSITIONS


def test_a_model_that_hears_cannot_be_asked_with_a_text(whisper: Path) -> None:
    with pytest.raises(SpecError, match="makes texts from sounds"):
        text_prompt(load_model(whisper, ComputeSpec()), [[5, 6]])


def test_windows_of_another_kind_than_was_asked_for_are_found() -> None:
    def faults(address: str, **inputs: object) -> list[str]:
        corpora = CalibrationSpec(corpora=(address,)), EvaluationSpec(corpora=(address,))
        spec = RecompressSpec(source="s", calibration=corpora[0], evaluation=corpora[1])
        known = {"packing": "long", "window_tokens": 256, "seed": 0}
        stage = SimpleNamespace(stage="windows", key="windows", inputs={**known, **inputs})
        return asked_faults(cast(Chain, SimpleNamespace(stages=[stage], windows={})), spec)

    sounds, texts = "nowhere#audio:text,sound", "nowhere#de:en"
    assert faults(sounds, pairs=True, medium="sound") == faults(texts, pairs=True) == faults("pydoc") == []
    assert len(faults(sounds, pairs=True, medium="image")) == len(faults(sounds, pairs=True)) == 1
    assert len(faults(texts, pairs=True, medium="sound")) == len(faults(texts)) == len(faults("pydoc", pairs=True)) == 1
