"""What is known of a family is needed, complete, and enough to refuse what cannot be cut."""

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from families import CASES, LOOKING, Case, make_case
from family_row import REMOVALS, Row, cut, load, logits
from pico import NUM_BLOCKS, edit_json
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, PreTrainedModel

from lorp.architectures import FAMILIES, Family
from lorp.checkpoint import open_checkpoint
from lorp.corpus.uses import FitWindows, HealingWindows, RidgeWindows
from lorp.errors import HealingError, SourceError, UnknownArchitectureError
from lorp.healing import repair

ALL = (*CASES, *LOOKING)
WITH_CASES = [family for family in FAMILIES if any(case.data is family for case in ALL)]
BY_NAME = {str(case): case for case in ALL}


def model_class(family: Family) -> type[PreTrainedModel]:
    [architecture] = family.architectures
    found: type[PreTrainedModel] = getattr(transformers, architecture)
    return found


@pytest.mark.parametrize(
    ("model_type", "file"),
    [
        ("rwkv", "lorp/architectures/rwkv.py"),
        ("gemma3", "lorp/architectures/gemma3.py"),
        ("../../x", "lorp/architectures/<model_type>.py"),
    ],
)
def test_an_unknown_family_is_told_its_file(pico_copy: Path, model_type: str, file: str) -> None:
    edit_json(pico_copy / "config.json", model_type=model_type, architectures=["SomeForConditionalGeneration"])
    with pytest.raises(UnknownArchitectureError, match=rf"describe it in {re.escape(file)} \(docs/design\.md"):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Mistral: tied head, listed kinds", "layer_types"),
        ("Ministral: own head, listed kinds", "layer_types"),
        ("Qwen2: tied head, listed kinds", "layer_types"),
        ("Qwen3: own head, listed kinds", "layer_types"),
        ("Gemma 2: tied head, kinds by cadence", "layer_types"),
        ("Gemma 2: own head, listed kinds", "layer_types"),
        ("OLMo 3: own head, kinds by cadence", "layer_types"),
        ("OLMo 3: tied head, listed kinds", "layer_types"),
        ("Gemma 3: tied head, kinds by cadence", "layer_types"),
        ("Gemma 3: own head, listed kinds", "layer_types"),
        ("Qwen2-MoE: own head, window before block 4, every second block without experts", "layer_types"),
        ("Qwen2-MoE: own head, window before block 4, every second block without experts", "mlp_only_layers"),
        ("Qwen3-MoE: tied head, some blocks without experts", "mlp_only_layers"),
        ("DeepSeek-V3: own head, two blocks without experts, one block more stored", "first_k_dense_replace"),
        ("SmolLM3: tied head, rotary and windows by cadence", "no_rope_layers"),
        ("SmolLM3: own head, listed kinds", "no_rope_layers"),
        ("SmolLM3: own head, listed kinds", "layer_types"),
        ("LLaVA around Qwen2: tied head, SigLIP, window from block 3 on", "layer_types"),
        ("LLaVA-NeXT around Qwen2: own head, listed kinds", "layer_types"),
        ("Qwen2-VL: own head, named as in the model, listed kinds", "layer_types"),
        ("Qwen2.5-VL: own head, named as in the model, config in both forms", "layer_types"),
        ("Gemma 3 with vision: tied head, as published", "layer_types"),
        ("Qwen2.5-VL vision: tied head, as published", "fullatt_block_indexes"),
        ("LLaVA vision: around Llama, own head, state 4", "vision_feature_layer"),
    ],
)
def test_a_field_that_does_not_follow_shows(tmp_path: Path, name: str, field: str) -> None:
    row = Row(BY_NAME[name], tmp_path)
    described = row.checkpoint.family
    forgetful = dataclasses.replace(
        described,
        per_block_fields=tuple(name for name in described.per_block_fields if name != field),
        threshold_fields=tuple(name for name in described.threshold_fields if name != field),
        cadence_fields=tuple(pair for pair in described.cadence_fields if field not in pair),
        index_fields=tuple(name for name in described.index_fields if name != field),
        state_fields=tuple(pair for pair in described.state_fields if field not in pair),
    )
    settings = {name: value for name, value in row.checkpoint.block_settings.items() if name != field}
    stale = dataclasses.replace(row.checkpoint, family=forgetful, block_settings=settings)

    def is_right(removed: tuple[int, ...]) -> bool:
        variant = cut(stale, removed, tmp_path / f"stale{removed}")
        try:
            return torch.equal(row.logits(load(variant)), row.skipped(removed))
        except Exception:  # refused by transformers, which shows too
            return False

    assert not all(is_right(removed) for removed in REMOVALS)


@pytest.mark.parametrize(
    "name",
    [
        "Qwen2: own head, window from block 3 on",
        "Qwen3: tied head, window from block 2 on",
        "Qwen2-VL: own head, as published, window from block 3 on",
    ],
)
def test_a_threshold_says_the_same_as_the_list_beside_it(tmp_path: Path, name: str) -> None:
    row = Row(BY_NAME[name], tmp_path)
    for removed in REMOVALS:
        config = row.variant(removed) / "config.json"
        listed = AutoConfig.from_pretrained(config.parent).get_text_config().layer_types
        edit_json(config, layer_types=None)
        assert AutoConfig.from_pretrained(config.parent).get_text_config().layer_types == listed


@pytest.mark.parametrize("family", WITH_CASES, ids=lambda family: f"{family.name} {family.stack or ''}".strip())
def test_fields_that_depend_on_depth_are_described(family: Family) -> None:
    [case, *_] = [case for case in ALL if case.data is family]
    configs = [config_of(case, depth) for depth in (NUM_BLOCKS, NUM_BLOCKS - 1)]
    settings = [family.settings_in(config) for config in configs]
    differing = {name for name in settings[0] if settings[0][name] != settings[1][name]}
    assert differing
    assert differing <= {*family.count_fields, *family.per_block_fields}
    assert {name for name in configs[0] if configs[0][name] != configs[1][name]} <= {*differing, family.section}


def config_of(case: Case, depth: int) -> dict[str, object]:
    """What transformers makes of a case's settings, with another number of blocks and no lists of them."""
    section, settings = case.data.section, case.data.settings_in(case.settings)
    free = {name: value for name, value in settings.items() if name not in case.data.per_block_fields}
    text = {**free, case.data.count_field: depth}
    config: dict[str, object] = (
        model_class(case.data).config_class(**({**case.settings, section: text} if section else text)).to_dict()
    )
    return config


@pytest.mark.parametrize("family", WITH_CASES, ids=lambda family: f"{family.name} {family.stack or ''}".strip())
def test_what_modelling_does_with_a_blocks_index_is_described(family: Family) -> None:
    [case, *_] = [case for case in ALL if case.data is family]
    with torch.device("meta"):
        model = model_class(family)(model_class(family).config_class(**case.settings))
    blocks = model.get_submodule(family.blocks_path)
    source = inspect.getsource(sys.modules[type(blocks[0]).__module__])
    by_index = r"config\.(\w+)\[(?:self\.)?(?:layer_idx|idx|i)\]"
    sums = r"\(?layer_idx(?: \+ 1\))? (?:[%<>]=?|==|not in) config\.(\w+)"
    stacks = [each for each in FAMILIES if each.model_types == family.model_types]  # which a module may hold all of
    assert set(re.findall(by_index, source)) <= {name for each in stacks for name in each.per_block_fields}
    assert set(re.findall(sums, source)) <= {name for each in stacks for name in each.block_fields}
    numbered = r"(\w+), \w+ in enumerate\(self\.(?:blocks|layers)\)"
    listed = {name for index in re.findall(numbered, source) for name in re.findall(rf"{index} in self\.(\w+)", source)}
    assert listed == {name for each in stacks for name in each.index_fields}
    without = re.sub(sums, "", source)
    where = [each for each in family.obstacles if each.field != "tie_last_hidden_states"]
    assert bool(re.search(r"layer_idx\s*(?:[-+*/%<>]|==)", without)) == bool(where)


def gpt2(folder: Path) -> Path:
    return make_case(BY_NAME["GPT-2: tied head"], folder)


def test_refuses_attention_that_depends_on_the_blocks_place(tmp_path: Path) -> None:
    edit_json(gpt2(tmp_path) / "config.json", scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(SourceError, match=r"by its own index.*scale_attn_by_inverse_layer_idx"):
        open_checkpoint(tmp_path)


def test_attention_that_depends_on_the_blocks_place_would_change(tmp_path: Path) -> None:
    row = Row(BY_NAME["GPT-2: tied head"], tmp_path)
    for folder in (row.source, row.variant((1,))):
        edit_json(folder / "config.json", scale_attn_by_inverse_layer_idx=True)
    row.dense = load(row.source)
    assert not torch.equal(logits(load(row.variant((1,)))), row.skipped((1,)))


def test_refuses_settings_of_single_blocks(pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", per_layer_config={"2": {"skip": ["mlp"]}})
    with pytest.raises(SourceError, match="per_layer_config"):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Gemma 3: own head, listed kinds", {"layer_types": ["full_attention"] * (NUM_BLOCKS - 1)}),
        ("Qwen2: tied head, listed kinds", {"layer_types": ["full_attention"] * (NUM_BLOCKS + 1)}),
        ("SmolLM3: own head, listed kinds", {"no_rope_layers": [1] * (NUM_BLOCKS - 1)}),
        ("SmolLM3: own head, listed kinds", {"no_rope_layers": [1] * (NUM_BLOCKS + 1)}),
        ("SmolLM3: own head, listed kinds", {"no_rope_layers": "111111"}),
        ("Qwen3: own head, listed kinds", {"max_window_layers": "3"}),
        ("SmolLM3: own head, listed kinds", {"max_window_layers": 3.5}),
        ("GPT-2: tied head", {"num_hidden_layers": NUM_BLOCKS - 1}),
        ("GPT-2: tied head", {"n_layer": "6"}),
        ("Qwen3-MoE: own head", {"decoder_sparse_step": 0}),
        ("Qwen3-MoE: own head", {"mlp_only_layers": [NUM_BLOCKS]}),
        ("Qwen3-MoE: own head", {"mlp_only_layers": "1"}),
        ("DeepSeek-V3: own head, queries not compressed", {"first_k_dense_replace": "2"}),
    ],
)
def test_refuses_fields_that_disagree_with_depth(tmp_path: Path, name: str, change: dict[str, object]) -> None:
    edit_json(make_case(BY_NAME[name], tmp_path) / "config.json", **change)
    with pytest.raises(SourceError, match=next(iter(change))):
        open_checkpoint(tmp_path)


def mixtral(folder: Path) -> Path:
    return make_case(BY_NAME["Mixtral: own head"], folder)


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_refuses_an_expert_that_lacks(tmp_path: Path) -> None:
    def without(weights: dict[str, torch.Tensor]) -> None:
        del weights["model.layers.2.block_sparse_moe.experts.3.w3.weight"]

    change_weights(mixtral(tmp_path), without)
    with pytest.raises(SourceError, match=r"part of tensor model\.layers\.2\.mlp\.experts\.gate_up_proj is missing"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("number", "fault"),
    [("04", r"experts\.04\.w1\.weight is of an expert that its config does not have"), ("03", "is stored twice")],
)
def test_refuses_an_expert_of_another_spelling(tmp_path: Path, number: str, fault: str) -> None:
    def more(weights: dict[str, torch.Tensor]) -> None:
        name = "model.layers.0.block_sparse_moe.experts.{}.w1.weight"
        weights[name.format(number)] = weights[name.format("3")].clone()

    change_weights(mixtral(tmp_path), more)
    with pytest.raises(SourceError, match=fault):
        open_checkpoint(tmp_path)


def test_a_list_that_any_config_may_have_follows(tmp_path: Path) -> None:
    row = Row(BY_NAME["Granite: tied head, scaled"], tmp_path)
    edit_json(row.source / "config.json", layer_types=["full_attention"] * NUM_BLOCKS)
    variant = open_checkpoint(row.variant((2,)))
    assert variant.config["layer_types"] == ["full_attention"] * (NUM_BLOCKS - 1)
    assert torch.equal(logits(load(variant.folder)), row.skipped((2,)))


@pytest.mark.parametrize("field", ["num_nextn_predict_layers", "num_mtp_layers"])
def test_the_block_after_the_last_is_left_out_by_either_name(tmp_path: Path, field: str) -> None:
    row = Row(BY_NAME["DeepSeek-V3: own head, two blocks without experts, one block more stored"], tmp_path)
    edit_json(row.source / "config.json", **{"num_nextn_predict_layers": None, "num_mtp_layers": None, field: 1})
    assert any(f"layers.{NUM_BLOCKS}." in name for name in row.checkpoint.ignored)
    variant = open_checkpoint(row.variant((2,)))
    extra = {name: value for name, value in variant.config.items() if name.startswith(("num_nextn", "num_mtp"))}
    assert extra == {field: 0}


def test_refuses_an_expert_too_many(tmp_path: Path) -> None:
    edit_json(mixtral(tmp_path) / "config.json", num_local_experts=3)
    with pytest.raises(SourceError, match=r"of an expert that its config does not have|has the shape"):
        open_checkpoint(tmp_path)


def test_refuses_experts_stored_one_by_one_and_together(tmp_path: Path) -> None:
    def both(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.1.mlp.experts.down_proj"] = torch.zeros(4, 32, 48)

    change_weights(mixtral(tmp_path), both)
    with pytest.raises(SourceError, match=r"model\.layers\.1\.mlp\.experts\.down_proj is stored twice, in parts"):
        open_checkpoint(tmp_path)


def test_experts_stored_together_are_cut_and_not_healed(tmp_path: Path) -> None:
    row = Row(BY_NAME["Mixtral: own head"], tmp_path)
    together = {name: tensor for name, tensor in row.dense.state_dict().items() if "experts" in name}

    def fuse(weights: dict[str, torch.Tensor]) -> None:
        for name in [name for name in weights if ".experts." in name]:
            del weights[name]
        weights.update(together)

    change_weights(row.source, fuse)
    assert torch.equal(logits(load(row.variant((2,)))), row.skipped((2,)))
    windows = tuple(capture.window for capture in row.captures)
    uses = HealingWindows(fit=FitWindows(windows), ridge=RidgeWindows(windows))
    with pytest.raises(HealingError, match="its experts are stored together"):
        repair(row.dense, row.checkpoint, row.plan, uses, "refit")


def test_refuses_a_tensor_stored_under_both_of_its_names(tmp_path: Path) -> None:
    weights = load_file(gpt2(tmp_path) / "model.safetensors")
    twice = {**weights, "h.0.ln_1.weight": weights["transformer.h.0.ln_1.weight"].clone()}
    save_file(twice, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SourceError, match=r"transformer\.h\.0\.ln_1\.weight is stored twice"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("case", [case for case in CASES if "stored" in case.layout or "bare" in case.layout], ids=str)
def test_a_variant_names_its_tensors_as_the_source_does(tmp_path: Path, case: Case) -> None:
    row = Row(case, tmp_path)
    kept = {name for name in row.checkpoint.tensors if case.data.block_of(name) != NUM_BLOCKS - 1}
    assert set(load_file(row.variant((NUM_BLOCKS - 1,)) / "model.safetensors")) == kept


@pytest.mark.parametrize("case", [case for case in ALL if case.data.section or case.data.stack], ids=str)
def test_a_module_s_path_is_of_the_block_that_its_weights_are_of(tmp_path: Path, case: Case) -> None:
    source = open_checkpoint(make_case(case, tmp_path), case.stack)
    for name in source.tensors:
        path = source.family.module_path(name.rpartition(".")[0])
        assert source.family.block_of(f"{path}.{name.rpartition('.')[2]}") == source.family.block_of(name)


@pytest.mark.parametrize("field", ["text_config", "vision_config"])
def test_refuses_quantisation_that_a_section_speaks_of(tmp_path: Path, field: str) -> None:
    [case, *_] = [case for case in CASES if case.family == "LLaVA around Llama"]
    config = make_case(case, tmp_path) / "config.json"
    section = json.loads(config.read_text())[field]
    edit_json(config, **{field: {**section, "quantization_config": {"quant_method": "fp8"}}})
    with pytest.raises(SourceError, match="has a quantization_config of its own"):
        open_checkpoint(tmp_path)
