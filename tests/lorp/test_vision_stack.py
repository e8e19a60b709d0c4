"""Vision stacks: they are cut, and all else of a model that sees stays what it is."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import transformers
from families import CASES, LOOKING, Case, make_case
from family_row import Row, cut, load
from images import image_of, prompt_with
from pico import NUM_BLOCKS, edit_json
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from lorp.architectures import check_stack
from lorp.architectures.blocks import num_blocks_of
from lorp.checkpoint import open_checkpoint
from lorp.errors import IntegrityError, SourceError, SpecError
from lorp.healing import check_healing
from lorp.models import load_model, stream_model
from lorp.plan import Removal, Stack, plan_of
from lorp.spec import ComputeSpec
from lorp.streaming import streamed_block_of
from lorp.surgery import kept_blocks_of, prune

BY_NAME = {str(case): case for case in (*CASES, *LOOKING)}
PUBLISHED = BY_NAME["LLaVA vision: around Llama, own head, as published"]
FLAT = BY_NAME["Qwen2-VL vision: own head, as published, window from block 3 on"]
WINDOWED = BY_NAME["Qwen2.5-VL vision: tied head, as published"]
IN_BOTH_FORMS = BY_NAME["Qwen2.5-VL vision: own head, named as in the model, config in both forms"]
STATE_4 = BY_NAME["LLaVA vision: around Llama, own head, state 4"]
GEMMA = BY_NAME["Gemma 3 with vision vision: tied head, as published"]


def config_in(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def skipping(model: PreTrainedModel, *paths: str) -> ExitStack:
    """While open, these blocks do nothing."""
    skipped = ExitStack()
    for path in paths:
        block = model.get_submodule(path)
        skipped.enter_context(patch.object(block, "forward", lambda hidden_states, *_, **__: hidden_states))
    return skipped


@pytest.mark.parametrize("case", LOOKING, ids=str)
def test_all_but_the_vision_blocks_is_kept_byte_for_byte(tmp_path: Path, case: Case) -> None:
    row = Row(case, tmp_path)
    variant, kept = row.variant((1, 4)), (0, 2, 3, 5)
    before, after = load_file(row.source / "model.safetensors"), load_file(variant / "model.safetensors")
    family, tensors = case.data, row.checkpoint.tensors
    names = {
        name if block is None else family.renumbered(name, kept.index(block)): name
        for name in tensors
        if (block := family.block_of(name)) is None or block in kept
    }
    assert after.keys() == names.keys()
    assert len(names) < len(tensors)
    assert all(
        torch.equal(after[new], before[old]) and after[new].dtype == before[old].dtype for new, old in names.items()
    )
    ours, theirs = config_in(variant), config_in(row.source)
    note = {"kept_blocks": [0, 2, 3, 5], "source_num_blocks": NUM_BLOCKS, "stack": "vision"}
    assert ours.pop("lorp") == note
    assert kept_blocks_of((variant / "config.json").read_bytes()) == (kept, "vision")
    follow = {*family.count_fields, *family.block_fields}
    for config in (ours, theirs):
        config["vision_config"] = {name: value for name, value in config["vision_config"].items() if name not in follow}
        config.pop("vision_feature_layer", None)
    assert ours == theirs


@pytest.mark.parametrize("case", [PUBLISHED, FLAT, WINDOWED, IN_BOTH_FORMS, GEMMA], ids=str)
@pytest.mark.parametrize("order", [("vision", None), (None, "vision")])
def test_both_stacks_are_cut_one_after_the_other(tmp_path: Path, case: Case, order: tuple[Stack | None, ...]) -> None:
    row, removed = Row(case, tmp_path), {"vision": (1, 3), None: (2,)}
    folder = row.source
    for stack in order:
        folder = cut(open_checkpoint(folder, stack), removed[stack], tmp_path / str(stack))
    depths = {"vision": NUM_BLOCKS - 2, None: NUM_BLOCKS - 1}
    assert open_checkpoint(folder).depths == open_checkpoint(folder, "vision").depths == depths
    gone = [f"{case.data.blocks_path}.1", f"{case.data.blocks_path}.3", "model.language_model.layers.2"]
    made = row.logits(load(folder))
    with skipping(row.dense, *gone):
        assert torch.equal(made, row.logits(row.dense))


@pytest.mark.parametrize(
    ("said", "removed", "then"),
    [
        (-2, (1, 3), -2),
        (-2, (4,), -2),
        (-2, (5,), -1),
        (-2, (4, 5), -1),
        (-1, (5,), -1),
        ([-2, -1], (2,), [-2, -1]),
        ([-2, -1], (5,), [-1, -1]),
        ([-5, -3, -1], (3,), [-4, -3, -1]),
        (-7, (0, 2), -5),
        (4, (1, 2), 2),
        (4, (3,), 3),
        (4, (4, 5), 4),
        (6, (0,), 5),
        (1, (0,), -6),
        (2, (0, 1, 4), -4),
        ([0, 3, -3, -1], (2, 3, 4), [0, 2, -2, -1]),
        ([3, 3], (1, 2), [1, 1]),
    ],
)
def test_the_states_that_are_used_are_still_those(
    tmp_path: Path, said: int | list[int], removed: tuple[int, ...], then: int | list[int]
) -> None:
    settings = {**PUBLISHED.settings, "vision_feature_layer": said}
    row = Row(Case(family="LLaVA", stack="vision", layout="", settings=settings), tmp_path)
    variant = row.variant(removed)
    assert config_in(variant)["vision_feature_layer"] == then
    assert torch.equal(row.logits(load(variant)), row.skipped(removed))


@pytest.mark.parametrize(("removed", "then"), [((3,), None), ((5,), -1)])
def test_a_state_that_the_config_leaves_out_is_written_where_it_changes(
    tmp_path: Path, removed: tuple[int, ...], then: int | None
) -> None:
    row = Row(PUBLISHED, tmp_path)
    edit_json(row.source / "config.json", vision_feature_layer=None)
    path = row.source / "config.json"
    path.write_text(json.dumps({name: value for name, value in config_in(row.source).items() if value is not None}))
    assert config_in(row.variant(removed)).get("vision_feature_layer") == then
    assert torch.equal(row.logits(load(row.variant(removed))), row.skipped(removed))


@pytest.mark.parametrize("states", [7, -8, [0, 7], [], "-2", True, [1.0], {"1": 2}])
def test_states_that_no_block_leaves_are_refused(tmp_path: Path, states: object) -> None:
    edit_json(make_case(PUBLISHED, tmp_path) / "config.json", vision_feature_layer=states)
    with pytest.raises(
        SourceError, match=r"vision_feature_layer in config\.json names states that a stack of 6 blocks"
    ):
        open_checkpoint(tmp_path, "vision")


def test_blocks_after_every_state_that_is_used_can_go_and_cost_nothing(tmp_path: Path) -> None:
    row = Row(STATE_4, tmp_path)
    assert torch.equal(row.logits(load(row.variant((4, 5)))), row.logits(row.dense))


def edit_vision(folder: Path, **changes: object) -> None:
    """Changes what a config says of its vision stack; None takes a field out."""
    section = {**config_in(folder)["vision_config"], **changes}
    edit_json(
        folder / "config.json", vision_config={name: value for name, value in section.items() if value is not None}
    )


def test_a_norm_before_the_last_state_is_refused_since_another_one_would_be_the_last(tmp_path: Path) -> None:
    settings = {
        **STATE_4.settings, "vision_config": {**STATE_4.settings["vision_config"], "model_type": "siglip_vision_model"},
        "vision_feature_select_strategy": "full",
    }  # fmt: skip
    row = Row(Case(family="LLaVA", stack="vision", layout="", settings=settings), tmp_path)
    variant = row.variant((4, 5))
    for folder in (row.source, variant):
        edit_vision(folder, tie_last_hidden_states=True)
        with pytest.raises(SourceError, match=r"goes through a norm .* \(tie_last_hidden_states\)"):
            open_checkpoint(folder, "vision")
        open_checkpoint(folder)
    row.dense = load(row.source)
    assert not torch.equal(row.logits(load(variant)), row.skipped((4, 5)))


@pytest.mark.parametrize("indices", [3, "1", [1.0], [True], [[1]]])
def test_indices_that_are_none_are_refused(tmp_path: Path, indices: object) -> None:
    edit_vision(make_case(WINDOWED, tmp_path), fullatt_block_indexes=indices)
    with pytest.raises(SourceError, match=r"fullatt_block_indexes in config\.json does not list blocks"):
        open_checkpoint(tmp_path, "vision")


@pytest.mark.parametrize(
    ("said", "removed", "then"),
    [([1, 4], (0,), [0, 3]), ([1, 4], (1, 2), [2]), ([4, 1, 31], (3,), [1, 3]), ([1], (1,), []), ([], (1,), [])],
)
def test_blocks_that_attend_to_everything_still_do(
    tmp_path: Path, said: list[int], removed: tuple[int, ...], then: list[int]
) -> None:
    row = Row(WINDOWED, tmp_path)
    edit_vision(row.source, fullatt_block_indexes=said)
    assert config_in(row.variant(removed))["vision_config"]["fullatt_block_indexes"] == then
    assert torch.equal(row.logits(load(row.variant(removed))), row.skipped(removed))


def deep(case: Case, depth: int) -> Case:
    """The same case with so many vision blocks."""
    vision = {**case.settings["vision_config"], case.data.count_field: depth}
    return Case(family=case.family, stack="vision", layout="", settings={**case.settings, "vision_config": vision})


def test_what_the_section_leaves_out_is_written(tmp_path: Path) -> None:
    source = make_case(deep(PUBLISHED, 12), tmp_path / "llava")
    edit_vision(source, num_hidden_layers=None)
    variant = cut(open_checkpoint(source, "vision"), (2, 7), tmp_path / "shallow")
    assert load(variant).config.vision_config.num_hidden_layers == 10
    source = make_case(deep(WINDOWED, 17), tmp_path / "qwen")
    edit_vision(source, fullatt_block_indexes=None)
    variant = cut(open_checkpoint(source, "vision"), (2, 8), tmp_path / "windows")
    assert config_in(variant)["vision_config"]["fullatt_block_indexes"] == [6, 13]


def test_a_top_that_counts_text_blocks_counts_no_others(tmp_path: Path) -> None:
    source = make_case(FLAT, tmp_path / "dense")
    edit_vision(source, num_hidden_layers=NUM_BLOCKS)
    edit_json(source / "config.json", depth=99)
    variant = cut(open_checkpoint(source, "vision"), (1,), tmp_path / "variant")
    section = config_in(variant)["vision_config"]
    assert section["depth"] == section["num_hidden_layers"] == NUM_BLOCKS - 1
    assert (config_in(variant)["num_hidden_layers"], config_in(variant)["depth"]) == (NUM_BLOCKS, 99)


def test_what_single_vision_blocks_are_is_asked_for_where_they_are_cut(tmp_path: Path) -> None:
    edit_vision(make_case(FLAT, tmp_path), per_layer_config={"2": {"skip": ["mlp"]}})
    assert open_checkpoint(tmp_path).num_blocks == NUM_BLOCKS
    with pytest.raises(SourceError, match="per_layer_config"):
        open_checkpoint(tmp_path, "vision")


@pytest.mark.parametrize("case", LOOKING, ids=str)
def test_every_map_of_a_vision_block_may_be_healed(tmp_path: Path, case: Case) -> None:
    row = Row(case, tmp_path)
    check_healing(row.checkpoint, "linear")
    maps = case.data.projections
    named = {*maps.attention_reads, maps.attention_write, *maps.mlp_reads, maps.mlp_write}
    blocks: Any = row.dense.get_submodule(case.data.blocks_path)
    assert len(blocks) == NUM_BLOCKS
    for block in blocks:
        assert {name for name, module in block.named_modules() if isinstance(module, nn.Linear)} == named


@pytest.mark.parametrize("case", [PUBLISHED, FLAT], ids=str)
def test_a_model_that_sees_is_its_text_stack_unless_another_is_asked_for(tmp_path: Path, case: Case) -> None:
    folder = make_case(case, tmp_path)
    edit_json(folder / "config.json", is_encoder_decoder=False)
    text, vision = open_checkpoint(folder), open_checkpoint(folder, "vision")
    assert (text.family.stack, vision.family.stack, text.stacks) == (None, "vision", vision.stacks)
    assert text.tensors == vision.tensors
    check_stack(text.family, None)
    check_stack(vision.family, "vision")
    for stack in ("encoder", "decoder"):
        with pytest.raises(
            SpecError, match=f"has no {stack}: its stacks are text and vision. Leave --stack out .* vision"
        ):
            open_checkpoint(folder, stack)
    edit_json(folder / "config.json", is_encoder_decoder=True)
    with pytest.raises(SourceError, match="is_encoder_decoder"):
        open_checkpoint(folder, "vision")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Llama: tied head", "Llama is one stack of blocks and has no vision stack. Leave --stack out"),
        (
            "BART encoder: tied head",
            "BART has no vision stack: its stacks are encoder and decoder. Say --stack encoder",
        ),
    ],
)
def test_a_model_that_does_not_see_has_no_vision_stack(tmp_path: Path, name: str, said: str) -> None:
    folder = make_case(BY_NAME[name], tmp_path)
    with pytest.raises(SpecError, match=said):
        open_checkpoint(folder, "vision")


@pytest.mark.parametrize(("stack", "said"), [("vision", "text stack, not the vision"), (None, "not the text stack")])
def test_a_plan_for_the_other_stack_is_refused(tmp_path: Path, stack: Stack | None, said: str) -> None:
    source = make_case(FLAT, tmp_path / "dense")
    (tmp_path / "variant").mkdir()
    plan = plan_of("by hand", NUM_BLOCKS, [Removal(block=1, cluster=None, score=0.0)])
    plan = replace(plan, stack=None if stack else "vision")
    with pytest.raises(IntegrityError, match=said):
        prune(open_checkpoint(source, stack), plan, tmp_path / "variant")
    assert not any((tmp_path / "variant").iterdir())


def quantised(folder: Path) -> Path:
    """With maps of the text stack and of one vision block in eight bits, and the others named by their blocks."""
    weights, plain = load_file(folder / "model.safetensors"), []
    for name, weight in list(weights.items()):
        path, _, leaf = name.rpartition(".")
        if leaf != "weight" or weight.ndim != 2 or "embed" in name or "merger" in name:
            continue
        if path.startswith("visual.") and path != "visual.blocks.3.mlp.fc1":
            plain.append(path)
            continue
        if path == "lm_head":
            plain.append(path)
            continue
        scale = weight.abs().max() / 448
        weights |= {name: (weight / scale).to(torch.float8_e4m3fn), f"{path}.weight_scale_inv": scale.reshape(1)}
    weights |= {f"model.layers.{block}.self_attn.k_scale": torch.tensor(block + 0.5) for block in range(NUM_BLOCKS)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    merger = ["visual.merger.mlp.0", "visual.merger.mlp.2"]
    said = {"quant_method": "fp8", "weight_block_size": None, "modules_to_not_convert": [*plain, *merger]}
    edit_json(folder / "config.json", quantization_config=said)
    return folder


def test_names_of_vision_blocks_in_a_quantisation_config_follow(tmp_path: Path) -> None:
    source = open_checkpoint(quantised(make_case(FLAT, tmp_path / "dense")), "vision")
    variant = open_checkpoint(cut(source, (1, 4), tmp_path / "variant"), "vision")
    named = variant.config["quantization_config"]["modules_to_not_convert"]
    blocks = {name.partition(".blocks.")[2].partition(".")[0] for name in named if ".blocks." in name}
    assert blocks == {"0", "1", "2", "3"}
    assert "visual.blocks.2.mlp.fc1" not in named
    assert "visual.blocks.2.mlp.fc1.weight_scale_inv" in variant.tensors
    cached = [name for name in variant.tensors if name.endswith("k_scale")]
    assert cached == [name for name in source.tensors if name.endswith("k_scale")]
    assert len(cached) == NUM_BLOCKS
    dense, pruned = (load_model(each.folder, ComputeSpec()) for each in (source, variant))
    prompt = prompt_with(FLAT, dense, image_of(FLAT))
    with torch.inference_mode():
        made = pruned(**prompt).logits
        with skipping(dense, "model.visual.blocks.1", "model.visual.blocks.4"):
            assert torch.equal(made, dense(**prompt).logits)


@pytest.mark.parametrize("case", [FLAT, WINDOWED], ids=str)
def test_a_config_that_says_nothing_of_its_vision_stack_means_transformers_own(case: Case) -> None:
    [architecture] = case.data.architectures
    built = getattr(transformers, architecture).config_class()
    assert num_blocks_of(case.data, {"depth": 5, "num_hidden_layers": 6}) == built.vision_config.depth


@pytest.mark.parametrize("case", [PUBLISHED, WINDOWED, GEMMA], ids=str)
def test_vision_blocks_are_streamed_too(tmp_path: Path, case: Case) -> None:
    row = Row(case, tmp_path)
    streamed = stream_model(row.source, ComputeSpec())
    blocks: Any = streamed.get_submodule(case.data.blocks_path)
    assert all(streamed_block_of(parameter) for parameter in blocks.parameters())
    assert torch.equal(row.logits(streamed), row.logits(row.dense))


def test_a_scale_of_another_stack_s_cache_that_is_missing_is_missed(tmp_path: Path) -> None:
    source = quantised(make_case(FLAT, tmp_path))
    weights = load_file(source / "model.safetensors")
    del weights["model.layers.2.self_attn.k_scale"]
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SourceError, match=r"model\.layers\.2\.self_attn\.k_scale is missing"):
        open_checkpoint(source, "vision")
