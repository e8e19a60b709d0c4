"""Models that see: their text stack is cut, and what they make of an image is theirs still."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import CASES, Case, make_case
from family_row import INPUT, REMOVALS, Row, cut, load
from images import image_of, prompt_with
from pico import NUM_BLOCKS, edit_json
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from lorp.architectures import FAMILIES
from lorp.checkpoint import open_checkpoint
from lorp.errors import SourceError, UnknownArchitectureError, UnsafeCheckpointError
from lorp.evaluation.decoding import end_tokens
from lorp.models import load_model, stream_model
from lorp.spec import ComputeSpec

SEEING = [case for case in CASES if case.data.section]
BY_NAME = {str(case): case for case in SEEING}
PUBLISHED = BY_NAME["LLaVA around Llama: own head, as published"]
FLAT = BY_NAME["Qwen2-VL: own head, as published, window from block 3 on"]
NESTED = BY_NAME["Qwen2-VL: own head, named as in the model, listed kinds"]
BOTH = BY_NAME["Qwen2.5-VL: own head, named as in the model, config in both forms"]


def seen(case: Case, model: PreTrainedModel, seed: int = 0) -> torch.Tensor:
    """Logits after an image and text."""
    with torch.inference_mode():
        logits: torch.Tensor = model(**prompt_with(case, model, image_of(case, seed))).logits
    return logits


def seen_without(row: Row, removed: tuple[int, ...]) -> torch.Tensor:
    """The same of the dense model with blocks skipped."""
    blocks: Any = row.dense.get_submodule(row.case.data.blocks_path)
    for block in removed:
        blocks[block].forward = lambda hidden_states, *_, **__: hidden_states
    try:
        return seen(row.case, row.dense)
    finally:
        for block in removed:
            del blocks[block].forward


@pytest.mark.parametrize("case", SEEING, ids=str)
def test_a_variant_sees_what_the_dense_model_less_blocks_sees(tmp_path: Path, case: Case) -> None:
    row = Row(case, tmp_path)
    assert not torch.equal(seen(case, row.dense), seen(case, row.dense, seed=1))
    for removed in REMOVALS:
        assert torch.equal(seen(case, load(row.variant(removed))), seen_without(row, removed)), removed


@pytest.mark.parametrize("case", SEEING, ids=str)
def test_all_but_the_blocks_is_kept(tmp_path: Path, case: Case) -> None:
    row = Row(case, tmp_path)
    variant = open_checkpoint(row.variant((1, 4)))
    before, after = load_file(row.source / "model.safetensors"), load_file(variant.folder / "model.safetensors")
    others = [name for name in row.checkpoint.tensors if case.data.block_of(name) is None]
    assert sum("vis" in name for name in others) > 20
    assert all(torch.equal(before[name], after[name]) for name in others)
    follow = {*case.data.count_fields, *case.data.block_fields}
    assert {name: value for name, value in rest(row.source).items() if name not in follow} == {
        name: value for name, value in rest(variant.folder).items() if name not in {*follow, "lorp"}
    }
    assert variant.settings["num_hidden_layers"] == NUM_BLOCKS - 2


def rest(folder: Path) -> dict[str, Any]:
    """A config without what it says of the text stack in a section."""
    config = json.loads((folder / "config.json").read_text())
    return {name: value for name, value in config.items() if name != "text_config"}


@pytest.mark.parametrize("case", [PUBLISHED, FLAT], ids=str)
def test_a_variant_generates_from_an_image_with_and_without_a_cache(tmp_path: Path, case: Case) -> None:
    model: Any = load(Row(case, tmp_path).variant((2, 3)))
    prompt = prompt_with(case, model, image_of(case))
    wanted = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False}
    made = [model.generate(**prompt, **wanted, use_cache=use_cache) for use_cache in (True, False)]
    assert torch.equal(*made)


def test_what_prepares_images_goes_with_the_variant(tmp_path: Path) -> None:
    row = Row(PUBLISHED, tmp_path)
    names = (
        "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "chat_template.json",
    )  # fmt: skip
    for name in names:
        (row.source / name).write_text(f'{{ "of":   "{name}" }}')
    variant = open_checkpoint(row.variant((2,)))
    assert {*names} <= {*variant.files}
    assert all((variant.folder / name).read_bytes() == (row.source / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    "name", ["preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"]
)
def test_code_of_what_prepares_images_is_refused(tmp_path: Path, name: str) -> None:
    folder = make_case(PUBLISHED, tmp_path)
    (folder / name).write_text('{"auto_map": {"AutoProcessor": "evil.Processor"}}')
    with pytest.raises(UnsafeCheckpointError, match=name):
        open_checkpoint(folder)


@pytest.mark.parametrize("case", [FLAT, BOTH], ids=str)
def test_the_config_keeps_its_form(tmp_path: Path, case: Case) -> None:
    row = Row(case, tmp_path)
    config = json.loads((row.variant((0, 3)) / "config.json").read_text())
    assert config["num_hidden_layers"] == len(config["layer_types"]) == NUM_BLOCKS - 2
    assert ("text_config" in config) == (case is BOTH)
    if case is FLAT:
        assert config["max_window_layers"] == 2
    else:
        assert {config["text_config"][name] == config[name] for name in ("num_hidden_layers", "layer_types")} == {True}


@pytest.mark.parametrize("removed", REMOVALS)
def test_a_variant_of_a_variant_is_that_of_both_cuts(tmp_path: Path, removed: tuple[int, ...]) -> None:
    row = Row(FLAT, tmp_path)
    once = open_checkpoint(row.variant((4,)))
    [*again] = [block for block in removed if block != 4]
    left = [block for block in range(NUM_BLOCKS) if block != 4]
    twice = cut(once, tuple(left.index(block) for block in again), tmp_path / "twice")
    assert torch.equal(seen(FLAT, load(twice)), seen_without(row, (*again, 4)))


def test_blocks_are_counted_as_transformers_does_where_the_config_does_not(tmp_path: Path) -> None:
    for family in FAMILIES:
        if family.default_count is None or family.section is None:
            continue
        [architecture], kinds = family.architectures, dict(family.section_types)
        for kind in kinds.get(family.section, [None]):
            said = {family.section: {"model_type": kind}} if kind else {}
            config = getattr(transformers, architecture).config_class(**said)
            assert getattr(getattr(config, family.section), family.count_field) == family.default_count


def test_a_count_that_the_config_leaves_out_is_written(tmp_path: Path) -> None:
    text = {**PUBLISHED.settings["text_config"], "num_hidden_layers": 32}
    case = Case(
        family=PUBLISHED.family, layout="", settings={**PUBLISHED.settings, "text_config": text},
        config_as_stored=without_count,
    )  # fmt: skip
    checkpoint = open_checkpoint(make_case(case, tmp_path / "dense"))
    assert (checkpoint.num_blocks, checkpoint.settings.get("num_hidden_layers")) == (32, None)
    variant = cut(checkpoint, (1, 30), tmp_path / "variant")
    assert load(variant).config.get_text_config().num_hidden_layers == 30


def without_count(config: dict[str, Any]) -> dict[str, Any]:
    text = {name: value for name, value in config["text_config"].items() if name != "num_hidden_layers"}
    return {**config, "text_config": text}


def test_what_the_text_stacks_section_says_is_heard(tmp_path: Path) -> None:
    path = make_case(PUBLISHED, tmp_path) / "config.json"
    (tmp_path / "generation_config.json").unlink()
    config = json.loads(path.read_text())
    text = {**config["text_config"], "eos_token_id": [7, 9], "output_hidden_states": True}
    path.write_text(json.dumps({**config, "text_config": text}))
    for model in (load_model(tmp_path, ComputeSpec()), stream_model(tmp_path, ComputeSpec())):
        assert model(INPUT).hidden_states is None
        model.generation_config = None
        assert end_tokens(model) == {7, 9}


def test_what_the_vision_stack_does_not_load_is_left_out(tmp_path: Path) -> None:
    row = Row(PUBLISHED, tmp_path)
    weights = {**load_file(row.source / "model.safetensors"), "vision_tower.vision_model.head.probe": torch.ones(3)}
    save_file(weights, row.source / "model.safetensors", metadata={"format": "pt"})
    assert "vision_tower.vision_model.head.probe" in row.checkpoint.ignored
    assert torch.equal(seen(PUBLISHED, load(row.variant((2,)))), seen_without(row, (2,)))


@pytest.mark.parametrize("section", [[1], 3, "text", True, [], ""])
@pytest.mark.parametrize("name", ["text_config", "vision_config"])
@pytest.mark.parametrize("case", [PUBLISHED, NESTED], ids=str)
def test_a_section_of_another_kind_is_refused(tmp_path: Path, case: Case, name: str, section: object) -> None:
    edit_json(make_case(case, tmp_path) / "config.json", **{name: section})
    with pytest.raises((SourceError, UnknownArchitectureError)):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("case", "section", "change", "fault"),
    [
        (NESTED, "text_config", {"layer_types": ["full_attention"] * 5}, "layer_types .* does not have 6 entries"),
        (NESTED, "text_config", {"layer_types": 3}, "layer_types .* does not have 6 entries"),
        (NESTED, "text_config", {"max_window_layers": "3"}, "max_window_layers .* is no block's index"),
        (PUBLISHED, "text_config", {"num_hidden_layers": 7}, "7 blocks, but the weights are those of 6"),
        (PUBLISHED, "text_config", {"num_hidden_layers": 10**9}, "1000000000 blocks"),
        (NESTED, "text_config", {"num_hidden_layers": None}, "gives no num_hidden_layers"),
        (NESTED, "text_config", {"per_layer_config": {"2": {"skip": ["mlp"]}}}, "per_layer_config"),
        (NESTED, "vision_config", {"depth": 10**9}, "1000000000 blocks in the vision stack"),
        (NESTED, "vision_config", {"depth": [3]}, "gives no depth"),
        (NESTED, "vision_config", {"num_hidden_layers": 10**9}, "depth and num_hidden_layers .* disagree"),
        (PUBLISHED, "vision_config", {"num_hidden_layers": 10**9}, "1000000000 blocks in the vision stack"),
        (PUBLISHED, "vision_config", {"num_hidden_layers": 4}, "4 blocks in the vision stack, but .* those of 3"),
        (BOTH, "text_config", {"layer_types": ["full_attention"] * 6}, "disagree about layer_types"),
    ],
)  # fmt: skip
def test_what_a_section_says_is_checked(
    tmp_path: Path, case: Case, section: str, change: dict[str, object], fault: str
) -> None:
    path = make_case(case, tmp_path) / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, section: {**config[section], **change}}))
    with pytest.raises(SourceError, match=fault):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("copy", [{"num_hidden_layers": 5}, {"layer_types": ["full_attention"] * 6}])
def test_refuses_a_config_that_says_two_things(tmp_path: Path, copy: dict[str, object]) -> None:
    edit_json(make_case(BOTH, tmp_path) / "config.json", **copy)
    with pytest.raises(SourceError, match=f"and its text_config disagree about {next(iter(copy))}"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(("section", "kind"), [("text_config", "phi3"), ("vision_config", "timm_wrapper")])
def test_refuses_other_models_within(tmp_path: Path, section: str, kind: str) -> None:
    path = make_case(PUBLISHED, tmp_path) / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, section: {**config[section], "model_type": kind}}))
    with pytest.raises(UnknownArchitectureError, match=kind):
        open_checkpoint(tmp_path)
