"""The variant is a stock checkpoint, equal bit for bit to the dense model with the blocks skipped."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pico import NUM_BLOCKS, edit_json, make_pico
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.digest import digest_listing, list_files
from lorp.errors import CountError
from lorp.plan import PruningPlan, Removal, plan_of
from lorp.safetensors_file import read_tensors
from lorp.surgery import prune

INPUT = torch.arange(40).unsqueeze(0) * 5 % 256


def plan(*blocks: int, num_blocks: int = NUM_BLOCKS) -> PruningPlan:
    return plan_of("by hand", num_blocks, [Removal(block=block, cluster=None, score=0.0) for block in blocks])


def cut(source: Path, folder: Path, *blocks: int) -> Path:
    folder.mkdir()
    checkpoint = open_checkpoint(source)
    prune(checkpoint, plan(*blocks, num_blocks=checkpoint.num_blocks), folder)
    return folder


def load(folder: Path) -> torch.nn.Module:
    model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert not loading["mismatched_keys"]
    return model.eval()


def dense_with_blocks_skipped(folder: Path, blocks: tuple[int, ...]) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for block in blocks:
        model.model.layers[block].forward = lambda hidden_states, **_: hidden_states
    return model


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.sets(st.integers(0, NUM_BLOCKS - 1), max_size=NUM_BLOCKS - 1))
def test_logits_equal_the_dense_models_with_the_blocks_skipped(
    pico: Path, tmp_path_factory: pytest.TempPathFactory, blocks: set[int]
) -> None:
    removed = tuple(sorted(blocks))
    variant = load(cut(pico, tmp_path_factory.mktemp("cut") / "variant", *removed))
    with torch.inference_mode():
        assert torch.equal(variant(INPUT).logits, dense_with_blocks_skipped(pico, removed)(INPUT).logits)


def test_generates_the_same_with_and_without_a_cache(pico: Path, tmp_path: Path) -> None:
    variant = load(cut(pico, tmp_path / "variant", 1, 3))
    made = [
        variant.generate(INPUT[:, :8], max_new_tokens=16, min_new_tokens=16, do_sample=False, use_cache=use_cache)
        for use_cache in (True, False)
    ]
    assert made[0].shape == (1, 24)
    assert torch.equal(*made)


def test_says_which_dense_block_each_kept_block_is(pico: Path, tmp_path: Path) -> None:
    folder = cut(pico, tmp_path / "variant", 1, 3)
    assert json.loads((folder / "pruning_plan.json").read_text()) == {
        "method": "by hand",
        "removed": [1, 3],
        "kept_blocks": [0, 2, 4, 5],
    }
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 4


def test_shards_keep_their_order_and_the_index_follows(tmp_path: Path) -> None:
    source = make_pico(tmp_path / "dense", max_shard_size="30KB")
    folder = cut(source, tmp_path / "variant", 1, 2, 3)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    stored = {tensor.name: tensor for name in open_checkpoint(folder).shards for tensor in read_tensors(folder / name)}
    assert index["weight_map"] == {name: tensor.path.name for name, tensor in stored.items()}
    assert index["metadata"]["total_size"] == sum(tensor.num_bytes for tensor in stored.values())
    with torch.inference_mode():
        assert torch.equal(load(folder)(INPUT).logits, dense_with_blocks_skipped(source, (1, 2, 3))(INPUT).logits)


def test_a_shard_of_removed_blocks_only_is_left_out(tmp_path: Path) -> None:
    source = make_pico(tmp_path / "dense", max_shard_size="12KB")
    emptied = {
        name
        for name in open_checkpoint(source).shards
        if all(tensor.name.startswith("model.layers.2.") for tensor in read_tensors(source / name))
    }
    folder = cut(source, tmp_path / "variant", 2)
    assert emptied
    assert not emptied & {path.name for path in folder.iterdir()}


def test_tensors_that_the_model_ignores_stay_behind(pico_copy: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = {
        **load_file(pico_copy / "model.safetensors"),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
    }
    save_file(weights, pico_copy / "model.safetensors", metadata={"format": "pt"})
    assert open_checkpoint(cut(pico_copy, tmp_path / "variant", 2)).ignored == ()


def test_per_block_config_lists_follow_the_blocks(tmp_path: Path) -> None:
    kinds = ["full_attention", "sliding_attention"] * 3
    source = make_pico(tmp_path / "dense")
    edit_json(source / "config.json", layer_types=kinds)
    config = json.loads((cut(source, tmp_path / "variant", 1, 2) / "config.json").read_text())
    assert config["layer_types"] == [kinds[block] for block in (0, 3, 4, 5)]


def test_cuts_mistral(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=16, initializer_range=0.2, tie_word_embeddings=False,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path / "dense")
    variant = load(cut(tmp_path / "dense", tmp_path / "variant", 1, 4))
    with torch.inference_mode():
        skipped = dense_with_blocks_skipped(tmp_path / "dense", (1, 4))
        assert torch.equal(variant(INPUT).logits, skipped(INPUT).logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_keep_their_dtype(pico: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    AutoModelForCausalLM.from_pretrained(pico, dtype=dtype).save_pretrained(tmp_path / "dense")
    variant = load(cut(tmp_path / "dense", tmp_path / "variant", 2))
    assert {parameter.dtype for parameter in variant.parameters()} == {dtype}


def test_the_same_inputs_give_the_same_bytes(pico: Path, tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        return digest_listing(list_files(folder, [path.name for path in folder.iterdir()]))

    first, again, other = (
        cut(pico, tmp_path / str(run), *blocks) for run, blocks in enumerate([(1, 2), (2, 1), (1, 3)])
    )
    assert digest(first) == digest(again)
    assert digest(first) != digest(other)


def test_weights_start_aligned(pico: Path, tmp_path: Path) -> None:
    folder = cut(pico, tmp_path / "variant", 3)
    assert min(tensor.start for tensor in read_tensors(folder / "model.safetensors")) % 8 == 0


def test_refuses_a_plan_for_another_depth(pico: Path, tmp_path: Path) -> None:
    checkpoint: Checkpoint = open_checkpoint(pico)
    with pytest.raises(CountError, match="7 blocks"):
        prune(checkpoint, plan(1, num_blocks=7), tmp_path)
    assert not list(tmp_path.iterdir())
