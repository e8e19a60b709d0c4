"""Encoder-decoders: one stack is cut, and the other stays what it is."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from families import Case, make_case
from family_row import cut, load, logits_by_blocks
from pico import edit_json
from sounds import make_whisper

from lorp.architectures import FAMILIES
from lorp.body import Body
from lorp.capture import capture_windows
from lorp.capture_streamed import capture_streamed
from lorp.checkpoint import open_checkpoint
from lorp.corpus import Window
from lorp.errors import CountError, IntegrityError, SourceError, SpecError
from lorp.evaluation.perplexity import window_losses
from lorp.evaluation.streamed import streamed_losses
from lorp.feeding import feed_of, start_token
from lorp.models import load_model, stream_model
from lorp.parquet import decode_windows, encode_windows
from lorp.plan import Removal, Stack, plan_of
from lorp.spec import ComputeSpec, PruningSpec, RecompressSpec
from lorp.streaming import streamed_block_of
from lorp.surgery import prune
from tasks.audit.asked import asked_faults
from tasks.chain import Chain

T5 = {
    "vocab_size": 64, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 4, "num_heads": 4, "eos_token_id": None,
    "pad_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
HEADS = [[0, 1], [1, 0], [2, 3]]


def whisper(folder: Path) -> Path:
    made = make_whisper(folder)
    edit_json(made / "generation_config.json", alignment_heads=HEADS)
    return made


def t5(folder: Path, **more: object) -> Path:
    return make_case(Case(family="T5", stack="decoder", layout="", settings={**T5, **more}), folder)


@pytest.mark.parametrize(("stack", "removed"), [("encoder", (1, 2)), ("encoder", (0,)), ("decoder", (1,))])
def test_a_whisper_without_blocks_hears_as_one_whose_blocks_are_skipped(
    tmp_path: Path, stack: Stack, removed: tuple[int, ...]
) -> None:
    source = whisper(tmp_path / "dense")
    variant = load(cut(open_checkpoint(source, stack), removed, tmp_path / "variant"))
    dense = load(source)
    blocks = dense.get_submodule(f"model.{stack}.layers")
    for block in removed:
        blocks[block].forward = lambda hidden_states, *_, **__: hidden_states
    heard = torch.randn(1, 8, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        said = [
            each(input_features=heard, decoder_input_ids=torch.tensor([[3, 5, 7]])).logits for each in (variant, dense)
        ]
        assert torch.equal(*said)
        wanted = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
        made = [variant.generate(input_features=heard, **wanted, use_cache=use) for use in (True, False)]
    assert torch.equal(*made)
    kept = [block for block in range(4 if stack == "encoder" else 3) if block not in removed]
    heads = json.loads((tmp_path / "variant" / "generation_config.json").read_text())["alignment_heads"]
    expected = [[kept.index(block), head] for block, head in HEADS if block in kept]
    assert heads == (HEADS if stack == "encoder" else expected)


@pytest.mark.parametrize("heads", [7, [3], [[0]], [["0", 1]], [[True, 1]]])
def test_heads_that_are_no_pairs_are_refused(tmp_path: Path, heads: object) -> None:
    source = whisper(tmp_path / "dense")
    edit_json(source / "generation_config.json", alignment_heads=heads)
    with pytest.raises(SourceError, match="alignment_heads"):
        cut(open_checkpoint(source, "decoder"), (1,), tmp_path / "variant")


def test_where_the_decoder_s_depth_is_not_given_it_does_not_follow_the_encoder_s(tmp_path: Path) -> None:
    source = t5(tmp_path / "dense", num_decoder_layers=2)
    twin = t5(tmp_path / "twin")
    config = json.loads((twin / "config.json").read_text())
    del config["num_decoder_layers"]
    (twin / "config.json").write_text(json.dumps(config))
    deeper = open_checkpoint(twin, "decoder")
    assert deeper.depths == {"encoder": 4, "decoder": 4}
    again = cut(deeper, (1, 2), tmp_path / "shallow")
    assert open_checkpoint(again, "encoder").depths == {"encoder": 4, "decoder": 2}
    cut(open_checkpoint(again, "encoder"), (1,), tmp_path / "both")
    assert open_checkpoint(tmp_path / "both").depths == {"encoder": 3, "decoder": 2}
    load(tmp_path / "both")
    cut(open_checkpoint(source, "encoder"), (1,), tmp_path / "other")
    assert json.loads((tmp_path / "other" / "config.json").read_text())["num_decoder_layers"] == 2


def test_a_t5_whose_decoder_would_be_the_deeper_one_is_refused_since_it_would_not_generate(tmp_path: Path) -> None:
    source = t5(tmp_path / "dense")
    with pytest.raises(CountError, match="cannot generate"):
        cut(open_checkpoint(source, "encoder"), (1,), tmp_path / "variant")
    assert not any((tmp_path / "variant").iterdir())
    model = load(t5(tmp_path / "shallow", num_layers=2, num_decoder_layers=4))
    with pytest.raises(IndexError):
        model.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=4)


def test_the_position_biases_stay_when_the_first_block_goes(tmp_path: Path) -> None:
    source = open_checkpoint(t5(tmp_path / "dense"), "decoder")
    variant = open_checkpoint(cut(source, (0,), tmp_path / "variant"), "decoder")
    name = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    one, other = source.tensors[name], variant.tensors[name]
    assert (
        one.path.read_bytes()[one.start : one.start + one.num_bytes]
        == other.path.read_bytes()[other.start : other.start + other.num_bytes]
    )


def test_a_stack_that_is_too_deep_or_too_shallow_on_disk_is_refused_whichever_is_asked_for(tmp_path: Path) -> None:
    source = t5(tmp_path / "dense")
    edit_json(source / "config.json", num_layers=3, num_decoder_layers=4)
    with pytest.raises(SourceError, match="3 blocks in the encoder, but the weights are those of 4"):
        open_checkpoint(source, "decoder")


def test_a_plan_for_the_other_stack_is_refused(tmp_path: Path) -> None:
    source = open_checkpoint(t5(tmp_path / "dense"), "decoder")
    plan = plan_of("by hand", 4, [Removal(block=1, cluster=None, score=0.0)])
    (tmp_path / "variant").mkdir()
    with pytest.raises(IntegrityError, match="not the decoder"):
        prune(source, plan, tmp_path / "variant")


def test_a_model_with_one_stack_has_no_encoder(pico: Path) -> None:
    with pytest.raises(SpecError, match="one stack"):
        open_checkpoint(pico, "encoder")


def test_the_stacks_of_a_family_are_told_apart() -> None:
    assert len({(family.name, family.stack) for family in FAMILIES}) == len(FAMILIES)


def pair(source: list[int], tokens: list[int]) -> Window:
    return Window(id=f"{source} {tokens}", document="d", text_sha256="", tokens=tuple(tokens), source=tuple(source))


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_blocks_run_on_what_was_made_of_their_own_source(tmp_path: Path, stack: Stack) -> None:
    source = t5(tmp_path / "dense")
    model, family = load_model(source, ComputeSpec()), open_checkpoint(source, stack).family
    passes = [feed_of([pair(each, [5, 6, 7])], model) for each in ([9, 8], [3, 4])]
    with torch.inference_mode():
        for feed, said in zip(passes, logits_by_blocks(Body(model, family), passes), strict=True):
            assert torch.equal(said, model(**feed.inputs).logits)
    assert not torch.equal(*(model(**feed.inputs).logits for feed in passes))


def test_a_loss_is_that_of_the_whole_text_given_its_source(tmp_path: Path) -> None:
    model = load_model(t5(tmp_path / "dense"), ComputeSpec())
    [found] = window_losses(model, [pair([9, 8, 2], [5, 6, 7])])
    with torch.inference_mode():
        said = model(input_ids=torch.tensor([[9, 8, 2]]), labels=torch.tensor([[5, 6, 7]]))
    assert found.num_predicted == 3
    assert found.loss == pytest.approx(float(said.loss), rel=1e-6)


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_a_stack_s_capture_is_of_its_own_tokens(tmp_path: Path, stack: Stack) -> None:
    source = t5(tmp_path / "dense")
    windows = [pair([9, 8, 2, 1], [5, 6, 7]), pair([1, 2], [5, 6, 7])]
    captures = capture_windows(
        load_model(source, ComputeSpec()), open_checkpoint(source, stack).family, windows, sampled_tokens=8, seed=0
    )
    sizes = [4, 2] if stack == "encoder" else [3, 3]
    assert [capture.num_tokens for capture in captures] == sizes
    assert [len(capture.positions_K) for capture in captures] == sizes
    assert decode_windows(encode_windows(captures, {})).num_tokens.tolist() == sizes


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_a_streamed_stack_says_what_the_loaded_one_says(tmp_path: Path, stack: Stack) -> None:
    source = t5(tmp_path / "dense")
    family, windows = open_checkpoint(source, stack).family, [pair([9, 8, 2], [5, 6, 7]), pair([1, 2], [3, 4])]
    loaded, streamed = load_model(source, ComputeSpec()), stream_model(source, ComputeSpec())
    assert streamed_losses(streamed, family, windows, tmp_path) == window_losses(loaded, windows)
    ours = capture_streamed(streamed, family, windows, 4, 0, tmp_path)
    for one, other in zip(ours, capture_windows(loaded, family, windows, 4, 0), strict=True):
        assert one.num_tokens == other.num_tokens
        assert abs(one.cosine_sums_LL - other.cosine_sums_LL).max() < 1e-4


def test_both_stacks_are_streamed(tmp_path: Path) -> None:
    streamed = stream_model(t5(tmp_path / "dense"), ComputeSpec())
    for name, parameter in streamed.named_parameters():
        assert (streamed_block_of(parameter) is not None) == (".block." in name), name


def test_the_token_that_a_decoder_starts_from_is_the_config_s(tmp_path: Path) -> None:
    source = t5(tmp_path / "dense")
    edit_json(source / "generation_config.json", decoder_start_token_id=None, bos_token_id=7)
    assert start_token(load_model(source, ComputeSpec())) == 0


@pytest.mark.parametrize("token", [64, 10**6, -1, True, "0", [0]])
def test_a_start_that_is_no_token_is_refused(tmp_path: Path, token: object) -> None:
    model = load_model(t5(tmp_path / "dense"), ComputeSpec())
    setattr(model.config, "decoder_start_token_id", token)  # noqa: B010 - of any type
    with pytest.raises(SourceError, match="no token of its vocabulary"):
        window_losses(model, [pair([1], [2])])


def test_a_config_that_takes_an_encoder_away_or_adds_one_is_refused(tmp_path: Path, pico_copy: Path) -> None:
    source = t5(tmp_path / "dense")
    for folder, value in ((source, False), (pico_copy, True)):
        edit_json(folder / "config.json", is_encoder_decoder=value)
        with pytest.raises(SourceError, match="is_encoder_decoder"):
            open_checkpoint(folder)


def test_stages_of_another_stack_than_was_asked_for_are_found() -> None:
    def faults(kind: str, asked: Stack | None, **inputs: object) -> list[str]:
        spec = RecompressSpec(source="s", pruning=PruningSpec(stack=asked))
        known = {"sampled_tokens": 8, "seed": 0, "max_swaps": 60, "dtype": "float32"}
        stage = SimpleNamespace(stage=kind, key=kind, inputs={**known, **inputs})
        return asked_faults(cast(Chain, SimpleNamespace(stages=[stage], windows={})), spec)

    for kind in ("capture", "guess", "search"):
        assert faults(kind, "encoder", stack="encoder") == faults(kind, None) == []
        assert len(faults(kind, "encoder", stack="decoder")) == len(faults(kind, "encoder")) == 1
        assert len(faults(kind, None, stack="encoder")) == 1
