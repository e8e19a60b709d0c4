"""Quantised checkpoints: what is stored is proven, cut as it is, and its config renumbered; the rest is refused."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from family_row import cut, load, logits
from pico import NUM_BLOCKS, edit_json, make_pico
from quantised import (
    BY_NAME,
    FORMATS,
    MAPS,
    PLAIN_AFTER,
    REMOVED,
    Format,
    Tensors,
    dequantise,
    raw,
    read_all,
    write,
)
from safetensors.torch import load_file, save_file
from transformers.utils import is_compressed_tensors_available, is_optimum_available

from lorp.checkpoint import open_checkpoint
from lorp.corpus import Window
from lorp.corpus.uses import FitWindows, HealingWindows, RidgeWindows
from lorp.errors import HealingError, SourceError, SpecError
from lorp.finite import check_finite
from lorp.healing import check_healing, heal
from lorp.healing.repair import can_mend
from lorp.models import load_model, stream_model
from lorp.plan import Removal, plan_of
from lorp.quantization import scheme_of
from lorp.quantization.patterns import begins, skips
from lorp.spec import ComputeSpec
from lorp.streaming import check_streamable
from lorp.surgery import prune

KEPT = tuple(block for block in range(NUM_BLOCKS) if block not in REMOVED)
Q_PROJ = "model.layers.2.self_attn.q_proj"

formats = pytest.mark.parametrize("kind", FORMATS, ids=str)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Format], Path]:
    """A checkpoint in each format, written once."""
    made: dict[str, Path] = {}

    def folder(kind: Format) -> Path:
        if kind.name not in made:
            made[kind.name] = write(kind, tmp_path_factory.mktemp(kind.name))
        return made[kind.name]

    return folder


def renumbered(name: str) -> str | None:
    found = re.match(r"model\.layers\.(\d+)\.", name)
    if not found:
        return name
    block = int(found[1])
    return None if block in REMOVED else f"model.layers.{KEPT.index(block)}.{name[found.end() :]}"


def spoil(folder: Path, change: Callable[[Tensors], Any]) -> Path:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def with_config(folder: Path, **changes: object) -> Path:
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    edit_json(folder / "config.json", quantization_config={**config, **changes})
    return folder


# What is written.


@formats
@pytest.mark.parametrize("shards", [1, 3])
def test_every_tensor_of_a_kept_block_is_copied_as_it_is(kind: Format, shards: int, tmp_path: Path) -> None:
    source = write(kind, tmp_path / "dense", shards=shards)
    checkpoint = open_checkpoint(source)
    check_finite(checkpoint)
    assert checkpoint.tensors.keys() == read_all(source).keys(), "nothing is left aside"
    variant = cut(checkpoint, REMOVED, tmp_path / "variant")
    wanted = {new: entry for name, entry in raw(source).items() if (new := renumbered(name)) is not None}
    assert raw(variant) == wanted
    assert {name: tensor.shape for name, tensor in read_all(variant).items()} == {
        name: torch.Size(shape) for name, (_, shape, _) in wanted.items()
    }
    assert len(list(variant.glob("*.safetensors"))) == shards


@formats
def test_the_quantisation_config_follows(kind: Format, stored: Callable[[Format], Path], tmp_path: Path) -> None:
    variant = cut(open_checkpoint(stored(kind)), REMOVED, tmp_path / "variant")
    config = json.loads((variant / "config.json").read_text())
    assert config["quantization_config"] == kind.after
    assert config["num_hidden_layers"] == len(KEPT)


@formats
def test_dequantised_it_is_the_dense_model_with_blocks_skipped(
    kind: Format, stored: Callable[[Format], Path], tmp_path: Path
) -> None:
    variant = cut(open_checkpoint(stored(kind)), REMOVED, tmp_path / "variant")
    dense = load(dequantise(kind, stored(kind), tmp_path / "dense"))
    plain = load(dequantise(kind, variant, tmp_path / "plain"))
    everything = logits(dense)
    blocks: Any = dense.get_submodule("model.layers")
    for block in REMOVED:
        blocks[block].forward = lambda hidden_states, *_, **__: hidden_states
    assert torch.equal(logits(plain), logits(dense))
    assert not torch.allclose(logits(plain), everything, atol=1e-3)


@formats
def test_the_arithmetic_of_the_format_is_close_to_the_weights(
    kind: Format, stored: Callable[[Format], Path], tmp_path: Path
) -> None:
    original = load_file(make_pico(tmp_path / "plain", hidden_size=64, intermediate_size=96) / "model.safetensors")
    again = read_all(dequantise(kind, stored(kind), tmp_path / "again"))
    for module in MAPS:
        weight = original[f"{module}.weight"]
        assert (again[f"{module}.weight"] - weight).norm() < 0.2 * weight.norm()


def test_a_variant_is_cut_again(stored: Callable[[Format], Path], tmp_path: Path) -> None:
    kind = BY_NAME["compressed-mixed"]
    once = cut(open_checkpoint(stored(kind)), REMOVED, tmp_path / "once")
    twice = cut(open_checkpoint(once), (0,), tmp_path / "twice")
    config = json.loads((twice / "config.json").read_text())["quantization_config"]
    assert config["ignore"] == ["lm_head", "model.layers.1.mlp.down_proj"]
    assert [target.split(".")[2] for target in config["config_groups"]["floats"]["targets"]] == ["1", "1", "1"]


def test_the_order_of_exceptions_is_kept(stored: Callable[[Format], Path], tmp_path: Path) -> None:
    variant = cut(open_checkpoint(stored(BY_NAME["gptq"])), REMOVED, tmp_path / "variant")
    dynamic = json.loads((variant / "config.json").read_text())["quantization_config"]["dynamic"]
    assert [entry[:2] for entry in dynamic] == ["-:", "-:", "+:"], "sorted, the first would count for all"


def test_bare_names_and_transposed_maps_are_found(tmp_path: Path) -> None:
    """GPT-2's weights are inputs x outputs, its quantised ones outputs x inputs; its published names are bare."""
    folder = tmp_path / "dense"
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=256, n_embd=32, n_layer=4, n_head=4))
    model.save_pretrained(folder)
    pack = BY_NAME["bnb-8bit"].pack
    quantised: Tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        bare = name.removeprefix("transformer.")
        module = bare.removesuffix(".weight")
        is_map = re.fullmatch(r"h\.\d\.(attn|mlp)\.c_\w+\.weight", bare) and module != "h.3.mlp.c_proj"
        parts = {f"{module}.{end}": part for end, part in pack(module, tensor.T).items()} if is_map else {bare: tensor}
        quantised |= {part: value.contiguous() for part, value in parts.items()}
    save_file(quantised, folder / "model.safetensors", metadata={"format": "pt"})
    skipped = ["lm_head", "transformer.h.3.mlp.c_proj"]
    config = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": skipped}
    edit_json(folder / "config.json", quantization_config=config)
    variant = cut(open_checkpoint(folder), (1,), tmp_path / "variant")
    assert raw(variant)["h.2.attn.c_attn.SCB"] == raw(folder)["h.3.attn.c_attn.SCB"]
    assert raw(variant)["h.2.attn.c_attn.SCB"][1] == (96,)
    pruned = json.loads((variant / "config.json").read_text())["quantization_config"]
    assert pruned["llm_int8_skip_modules"] == ["lm_head", "transformer.h.2.mlp.c_proj"]
    spoil(folder, lambda weights: weights.update({"h.1.attn.c_attn.SCB": torch.ones(32)}))
    with pytest.raises(SourceError, match=r"h\.1\.attn\.c_attn\.SCB has the shape \[32\], .* wants \[96\]"):
        open_checkpoint(folder)


def test_experts_are_found(tmp_path: Path) -> None:
    """They are a tensor each on disk, and one in the model."""
    settings = {
        "vocab_size": 256, "hidden_size": 64, "intermediate_size": 64, "moe_intermediate_size": 32, "num_experts": 4,
        "num_experts_per_tok": 2, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 16, "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path / "dense"
    transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(**settings)).save_pretrained(folder)
    pack = BY_NAME["fp8-blocks"].pack
    quantised: Tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        module = name.removesuffix(".weight")
        parts = pack(module, tensor) if name.endswith("_proj.weight") else {"weight": tensor}
        quantised |= {f"{module}.{suffix}": part.contiguous() for suffix, part in parts.items()}
    save_file(quantised, folder / "model.safetensors", metadata={"format": "pt"})
    skipped = ["lm_head", *(f"model.layers.{block}.mlp.gate" for block in range(4))]
    config = {"quant_method": "fp8", "weight_block_size": [32, 32], "modules_to_not_convert": skipped}
    edit_json(folder / "config.json", quantization_config=config)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.quantization
    assert "model.layers.3.mlp.experts.2.up_proj" in checkpoint.quantization.quantized
    variant = cut(checkpoint, (1,), tmp_path / "variant")
    assert (
        raw(variant)["model.layers.2.mlp.experts.2.up_proj.weight_scale_inv"]
        == (raw(folder)["model.layers.3.mlp.experts.2.up_proj.weight_scale_inv"])
    )
    pruned = json.loads((variant / "config.json").read_text())["quantization_config"]
    assert pruned["modules_to_not_convert"] == ["lm_head", *(f"model.layers.{block}.mlp.gate" for block in range(3))]
    dense, cut_model = load_model(folder, ComputeSpec()), load_model(variant, ComputeSpec())
    blocks: Any = dense.get_submodule("model.layers")
    blocks[1].forward = lambda hidden_states, *_, **__: hidden_states
    assert torch.equal(logits(cut_model), logits(dense))
    spoil(folder, lambda weights: weights.pop("model.layers.3.mlp.experts.2.up_proj.weight_scale_inv"))
    with pytest.raises(SourceError, match=r"layers\.3\.mlp\.experts\.2\.up_proj\.weight_scale_inv is missing"):
        open_checkpoint(folder)


# What is refused.


@formats
def test_refuses_any_part_that_is_missing(kind: Format, tmp_path: Path) -> None:
    folder = write(kind, tmp_path)
    weights = load_file(folder / "model.safetensors")
    suffixes = [name.removeprefix(f"{Q_PROJ}.") for name in weights if name.startswith(f"{Q_PROJ}.")]
    optional = {"g_idx", "weight_format"}
    for suffix in suffixes:
        less = {name: tensor for name, tensor in weights.items() if name != f"{Q_PROJ}.{suffix}"}
        save_file(less, folder / "model.safetensors", metadata={"format": "pt"})
        if suffix in optional:
            open_checkpoint(folder)
        else:
            with pytest.raises(SourceError, match=re.escape(f"{Q_PROJ}.{suffix} is missing")):
                open_checkpoint(folder)


@formats
def test_refuses_a_part_of_another_shape_or_dtype(kind: Format, tmp_path: Path) -> None:
    folder = write(kind, tmp_path)
    weights = load_file(folder / "model.safetensors")
    for name, tensor in weights.items():
        if not name.startswith(f"{Q_PROJ}."):
            continue
        save_file({**weights, name: tensor.to(torch.float64)}, folder / "model.safetensors")
        with pytest.raises(SourceError, match=rf"{re.escape(name)} is stored as F64"):
            open_checkpoint(folder)
        if "quant_state" in name:
            continue
        longer = torch.cat([tensor.reshape(-1).view(torch.uint8)] * 2).view(tensor.dtype)
        save_file({**weights, name: longer}, folder / "model.safetensors")
        with pytest.raises(SourceError, match=rf"{re.escape(name)} has the shape \[{len(longer)}\]"):
            open_checkpoint(folder)


@formats
@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (f"{Q_PROJ}.weight_extra", torch.ones(2), "weight_extra is no part of how its quantised weight is stored"),
        (f"{Q_PROJ}.output_scale", torch.ones(1), "output_scale is no part"),
        ("model.layers.2.mlp.act_fn.scales", torch.ones(2), r"scales \(F32\) belongs to no weight"),
        ("model.layers.2.mlp.other_proj.weight", torch.ones(2, dtype=torch.int8), r"\(I8\) belongs to no weight"),
    ],
)
def test_refuses_what_belongs_to_nothing(
    kind: Format, name: str, tensor: torch.Tensor, message: str, tmp_path: Path
) -> None:
    folder = spoil(write(kind, tmp_path), lambda weights: weights.update({name: tensor}))
    with pytest.raises(SourceError, match=message):
        open_checkpoint(folder)


def test_refuses_a_quantised_weight_that_its_config_leaves_out(tmp_path: Path) -> None:
    for kind in FORMATS:
        folder = write(kind, tmp_path / kind.name)
        changes: dict[str, dict[str, object]] = {
            "fp8-vllm": {"ignored_layers": ["model.layers.2"]},
            "gptq": {"dynamic": {f"-:{re.escape(Q_PROJ)}": {}, **kind.config.get("dynamic", {})}},
            "bnb-8bit": {"llm_int8_skip_modules": [Q_PROJ]},
            "bnb-4bit": {"llm_int8_skip_modules": [Q_PROJ]},
            "compressed-mixed": {"ignore": [Q_PROJ]},
            "compressed-packed": {"ignore": [Q_PROJ]},
            "compressed-int8": {"ignore": [Q_PROJ]},
        }
        with_config(folder, **changes.get(kind.name, {"modules_to_not_convert": ["model.layers.2"]}))
        with pytest.raises(SourceError, match=r"by its config model\.layers\.2\.\S+ is not quantised so"):
            open_checkpoint(folder)


def test_refuses_a_cache_scale_that_a_block_lacks(tmp_path: Path) -> None:
    folder = write(BY_NAME["fp8-vllm"], tmp_path)
    spoil(folder, lambda weights: weights.pop("model.layers.3.self_attn.v_scale"))
    with pytest.raises(SourceError, match=r"layers\.3\.self_attn\.v_scale is missing"):
        open_checkpoint(folder)


def test_refuses_a_quantised_embedding(tmp_path: Path) -> None:
    folder = write(BY_NAME["fp8-blocks"], tmp_path)
    name = "model.embed_tokens.weight"
    spoil(folder, lambda weights: weights.update({name: weights[name].to(torch.float8_e4m3fn)}))
    with pytest.raises(SourceError, match=r"embed_tokens\.weight is stored as F8_E4M3"):
        open_checkpoint(folder)


def test_refuses_a_config_whose_weights_are_not_quantised(tmp_path: Path) -> None:
    for kind in FORMATS:
        folder = make_pico(tmp_path / kind.name)
        edit_json(folder / "config.json", quantization_config=kind.config)
        with pytest.raises(SourceError, match=r"says that its weights are quantised .*none is stored so"):
            open_checkpoint(folder)


def test_refuses_quantised_weights_without_a_config(tmp_path: Path) -> None:
    for kind in FORMATS:
        folder = write(kind, tmp_path / kind.name)
        edit_json(folder / "config.json", quantization_config=None)
        with pytest.raises(SourceError):
            open_checkpoint(folder)


@pytest.mark.parametrize(
    "method",
    ["gguf", "hqq", "quanto", "torchao", "fbgemm_fp8", "mxfp4", "quark", "aqlm", "bitnet", "auto-round", "x\n"],
)
def test_refuses_other_methods_in_one_line(method: str, pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", quantization_config={"quant_method": method})
    with pytest.raises(SourceError, match=r"quantised by .*, which lorp cannot prune \(known: fp8, awq, ") as refused:
        open_checkpoint(pico_copy)
    assert "\n" not in str(refused.value)


def test_refuses_the_field_by_the_name_that_transformers_no_longer_reads(pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", compression_config=BY_NAME["compressed-int8"].config)
    with pytest.raises(SourceError, match=r"compression_config, .* Rename it to quantization_config"):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("fp8-blocks", {"fmt": "e5m2"}, "fmt 'e5m2'"),
        ("fp8-blocks", {"modules_to_convert": ["embed_tokens"]}, "modules_to_convert"),
        ("fp8-blocks", {"activation_scheme": "other"}, "activation_scheme 'other'"),
        ("fp8-blocks", {"load_in_8bit": True}, "says 'fp8', and asks for bitsandbytes"),
        ("awq", {"version": "gemv"}, "the layout 'gemv'"),
        ("awq", {"bits": 3}, "3 bits"),
        ("gptq", {"checkpoint_format": "marlin"}, "the layout 'marlin'"),
        ("gptq", {"pack_dtype": "int64"}, "pack_dtype 'int64'"),
        ("gptq", {"bits": 5}, "5 bits"),
        ("bnb-4bit", {"load_in_4bit": False}, "neither 8 nor 4 bits"),
        ("bnb-4bit", {"load_in_8bit": True}, "both 8 and 4 bits"),
        ("bnb-4bit", {"bnb_4bit_quant_type": "int4"}, "bnb_4bit_quant_type 'int4'"),
        ("compressed-mixed", {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparse weights"),
        ("compressed-mixed", {"transform_config": {"config_groups": {"a": {}}}}, "transforms"),
        ("compressed-int8", {"format": "nvfp4-pack-quantized"}, "the format 'nvfp4-pack-quantized'"),
    ],
)
def test_refuses_what_it_does_not_know(name: str, changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        open_checkpoint(with_config(write(BY_NAME[name], tmp_path), **changes))


def _odd_values(value: Any) -> list[Any]:
    """The config with each of its values in turn, however deep, replaced by what it should not be."""
    if not isinstance(value, dict):
        return []
    changed = []
    for name, inner in value.items():
        odd = [{"a": [1]}, [[1]], 2.5, -7, "\x00", True, None, [None], "", {}, []]
        changed += [{**value, name: other} for other in (*odd, *_odd_values(inner)) if other != inner]
    return changed


@formats
def test_a_config_of_odd_values_is_read_or_refused_and_never_crashes(
    kind: Format, stored: Callable[[Format], Path]
) -> None:
    quantization = open_checkpoint(stored(kind)).quantization
    assert quantization
    refusals: list[str] = []
    for config in (*_odd_values(dict(kind.config)), [], "fp8", 4, True, {}, {"quant_method": ["fp8"]}):
        try:
            scheme = scheme_of({"quantization_config": config})
            for linear in quantization.linears[:3] if scheme else ():
                scheme.layouts(linear)
        except SourceError as fault:
            refusals.append(str(fault))
    assert len(refusals) > 10
    assert not any("\n" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a|a)*$", "((a*)b?)*$", "(?:x(?:a|aa))+$", "(a?)+$", "(a{2,}){3,}", "a*" * 30 + "b",
        "a?" * 40 + "a" * 40, "(a|a)" * 40 + "b", "(a|a?)" * 40 + "b", "a" * 20_001,
    ],
)  # fmt: skip
def test_refuses_expressions_that_may_take_forever(pattern: str) -> None:
    begun = time.monotonic()
    with pytest.raises(SourceError, match="too involved a regular expression"):
        begins(pattern, "a" * 60)
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    "pattern",
    [
        r"(model\.)?layers\.\d+\.(q|k)_proj$", r"[+*(?]+x", r"\(a+\)*", "a{2}", "(?!lm_head).*", ".*?x", "x{",
        r".*layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj.*", r".*mlp\.experts\.\d+\.(gate|up)_proj$",
        "|".join(f"model.layers.{block}.mlp.down_proj" for block in range(40)),
    ],
)  # fmt: skip
def test_runs_expressions_as_they_are_in_use(pattern: str) -> None:
    module = "model.layers.0.self_attn.q_proj"
    assert begins(pattern, module) is bool(re.match(pattern, module))


@pytest.mark.parametrize("pattern", ["[a", "(" * 15_000, "(" * 5_000 + ")" * 5_000, "a{3,1}", "(?P<"])
def test_refuses_what_is_no_expression(pattern: str) -> None:
    with pytest.raises(SourceError, match="is no regular expression"):
        begins(pattern, "a")


@pytest.mark.parametrize(
    ("entry", "module", "is_meant"),
    [
        ("model.layers.1", "model.layers.1.mlp.gate", True),
        ("model.layers.1", "model.layers.11.mlp.gate", False),
        ("gate", "model.layers.1.mlp.gate", True),
        ("mlp.gate", "model.layers.1.mlp.gate_proj", False),
        (r"model\.layers\.[12]\.mlp", "model.layers.2.mlp.up_proj", True),
        (r"model\.layers\.[12]", "model.layers.21.mlp.up_proj", False),
    ],
)
def test_skipped_modules_are_those_of_transformers(entry: str, module: str, is_meant: bool) -> None:
    from transformers.quantizers.quantizers_utils import should_convert_module

    assert skips(entry, module) is is_meant
    assert should_convert_module(module, [entry]) is not is_meant


def test_names_that_cannot_be_renumbered_are_refused(tmp_path: Path) -> None:
    """A suffix means another block's map once that is where it was."""
    kind = BY_NAME["fp8-blocks"]
    folder = write(kind, tmp_path / "dense")
    with_config(folder, modules_to_not_convert=["lm_head", "3.mlp.down_proj", *kind.config["modules_to_not_convert"]])
    with pytest.raises(SourceError, match="names blocks in a way that cannot be renumbered: see"):
        cut(open_checkpoint(folder), REMOVED, tmp_path / "variant")


@pytest.mark.parametrize(
    ("entry", "after"),
    [
        (r"model\.layers\.[03]\.mlp\.down_proj", [*PLAIN_AFTER]),
        (r"model\.layers\.\d+\.mlp\.gate$", [r"model\.layers\.\d+\.mlp\.gate$"]),
        (r"model\.layers\.4\.self_attn\.q_proj|x", []),
        ("model.layers.5.input_layernorm", ["model.layers.3.input_layernorm"]),
        ("model.layers.9.eh_proj", []),
        ("model.norm", ["model.norm"]),
    ],
)
def test_entries_follow_their_blocks(entry: str, after: list[str], tmp_path: Path) -> None:
    folder = write(BY_NAME["fp8-blocks"], tmp_path / "dense")
    variant = cut(
        open_checkpoint(with_config(folder, modules_to_not_convert=["lm_head", entry])), REMOVED, tmp_path / "variant"
    )
    pruned = json.loads((variant / "config.json").read_text())["quantization_config"]
    assert pruned["modules_to_not_convert"] == ["lm_head", *after]


# What runs.


@pytest.mark.parametrize("name", ["fp8-blocks", "fp8-static"])
def test_fp8_runs_dequantised(name: str, stored: Callable[[Format], Path], tmp_path: Path) -> None:
    kind = BY_NAME[name]
    variant = cut(open_checkpoint(stored(kind)), REMOVED, tmp_path / "variant")
    model = load_model(variant, ComputeSpec())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(logits(model), logits(load(dequantise(kind, variant, tmp_path / "plain"))))
    dense = load_model(stored(kind), ComputeSpec())
    blocks: Any = dense.get_submodule("model.layers")
    for block in REMOVED:
        blocks[block].forward = lambda hidden_states, *_, **__: hidden_states
    assert torch.equal(logits(model), logits(dense))


@pytest.mark.skipif(not is_compressed_tensors_available(), reason="needs the package compressed-tensors")
@pytest.mark.parametrize("name", ["compressed-mixed", "compressed-packed", "compressed-int8"])
def test_compressed_tensors_run_where_their_package_is(
    name: str, stored: Callable[[Format], Path], tmp_path: Path
) -> None:
    kind = BY_NAME[name]
    variant = cut(open_checkpoint(stored(kind)), REMOVED, tmp_path / "variant")
    plain = load(dequantise(kind, variant, tmp_path / "plain"))
    # With 8-bit weights the format has 8-bit inputs too, which a plain model has not.
    bound = 0.5 if name == "compressed-int8" else 1e-4
    torch.testing.assert_close(logits(load_model(variant, ComputeSpec())), logits(plain), atol=bound, rtol=0)


@pytest.mark.skipif(is_optimum_available(), reason="shows what is said without the package")
@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("awq", "gptqmodel"),
        ("gptq", "optimum"),
        ("bnb-8bit", "bitsandbytes"),
        ("bnb-4bit", "bitsandbytes"),
        ("compressed-int8", "compressed-tensors"),
    ],
)
def test_what_does_not_run_says_what_is_missing(name: str, package: str, stored: Callable[[Format], Path]) -> None:
    if package == "compressed-tensors" and is_compressed_tensors_available():
        pytest.skip("it is there")
    with pytest.raises(
        SourceError, match=rf"weights do not run here: .*{package}.* Install what is missing"
    ) as refused:
        load_model(stored(BY_NAME[name]), ComputeSpec())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "is_set"), [("fp8-blocks", True), ("compressed-packed", True), ("compressed-int8", None), ("awq", None)]
)
def test_transformers_is_told_to_dequantise_what_it_cannot_run_otherwise(
    name: str, is_set: bool | None, stored: Callable[[Format], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no kernel is fetched from the hub where there is an accelerator."""
    asked: dict[str, Any] = {}

    def note(*_: object, **settings: Any) -> None:
        asked.update(settings)
        raise ImportError("enough")

    monkeypatch.setattr("lorp.loading.from_pretrained", note)
    with pytest.raises(SourceError, match="do not run here: enough"):
        load_model(stored(BY_NAME[name]), ComputeSpec())
    assert asked["config"].quantization_config.get("dequantize") is is_set


def test_fp8_scales_may_be_powers_of_two_in_a_byte(tmp_path: Path) -> None:
    def rounded(weights: Tensors) -> None:
        for name, tensor in list(weights.items()):
            if name.endswith("weight_scale_inv"):
                weights[name] = tensor.log2().ceil().exp2().to(torch.float8_e8m0fnu)

    folder = spoil(write(BY_NAME["fp8-blocks"], tmp_path), rounded)
    with pytest.raises(SourceError, match="is stored as F8_E8M0, where its quantisation wants BF16 or F16 or F32"):
        open_checkpoint(folder)
    with_config(folder, scale_fmt="ue8m0")
    check_finite(open_checkpoint(folder))
    assert logits(load_model(folder, ComputeSpec())).isfinite().all()
    spoil(folder, lambda weights: weights[f"{Q_PROJ}.weight_scale_inv"].view(torch.uint8)[:1].fill_(0xFF))
    with pytest.raises(SourceError, match=re.escape(f"{Q_PROJ}.weight_scale_inv")):
        check_finite(open_checkpoint(folder))


def test_fp8_that_transformers_would_leave_unscaled_is_refused(stored: Callable[[Format], Path]) -> None:
    with pytest.raises(SourceError, match=r"transformers does not read its fp8 weights as they are stored"):
        load_model(stored(BY_NAME["fp8-vllm"]), ComputeSpec())


def test_fp8_blocks_that_transformers_would_misread_are_refused(tmp_path: Path) -> None:
    """96 rows in blocks of 64 are two blocks, which transformers takes for two of 48."""
    folder = write(BY_NAME["fp8-blocks"], tmp_path)

    def larger(weights: Tensors) -> None:
        for name, tensor in list(weights.items()):
            if name.endswith("weight_scale_inv"):
                weights[name] = tensor[::2].contiguous()

    with_config(spoil(folder, larger), weight_block_size=[64, 32])
    assert open_checkpoint(folder).quantization
    with pytest.raises(SourceError, match=r"cannot dequantise \S+: blocks of \[64, 32\] do not divide its weight"):
        load_model(folder, ComputeSpec())


def test_quantised_weights_are_not_streamed(stored: Callable[[Format], Path]) -> None:
    for kind in FORMATS:
        with pytest.raises(SpecError, match="quantised, which cannot be streamed"):
            stream_model(stored(kind), ComputeSpec(capture_mode="streamed"))
        with pytest.raises(SpecError, match="Use --capture-mode memory"):
            check_streamable(open_checkpoint(stored(kind)))


def _windows(ids: range) -> tuple[Window, ...]:
    return tuple(
        Window(
            id=f"{at}@0",
            document=str(at),
            text_sha256="0" * 64,
            tokens=tuple((at * 7 + n * 5) % 256 for n in range(24)),
        )
        for at in ids
    )


def test_quantised_weights_are_not_healed(stored: Callable[[Format], Path]) -> None:
    folder = stored(BY_NAME["fp8-blocks"])
    checkpoint = open_checkpoint(folder)
    assert not can_mend(checkpoint)
    for method in ("linear", "refit", "magnitude"):
        with pytest.raises(HealingError, match="a fitted map has no place in them"):
            check_healing(checkpoint, method)
    plan = plan_of("by hand", NUM_BLOCKS, [Removal(block=block, cluster=None, score=0.0) for block in REMOVED])
    windows = HealingWindows(fit=FitWindows(_windows(range(4))), ridge=RidgeWindows(_windows(range(4, 6))))
    choice = heal(load_model(folder, ComputeSpec()), checkpoint, plan, windows, "auto")
    assert (choice.method, choice.repaired.tensors) == ("none", {})
    assert [attempt.method for attempt in choice.attempts if attempt.refused] == ["linear", "refit", "magnitude"]


@pytest.mark.parametrize("byte", [0x7F, 0xFF])
def test_finds_what_is_no_number_in_8_bit_floats(byte: int, tmp_path: Path) -> None:
    def change(weights: Tensors) -> None:
        weights[f"{Q_PROJ}.weight"].view(torch.uint8)[3, 4] = byte

    folder = spoil(write(BY_NAME["fp8-blocks"], tmp_path), change)
    with pytest.raises(SourceError, match=re.escape(f"{Q_PROJ}.weight in model.safetensors holds NaN")):
        check_finite(open_checkpoint(folder))


def test_finds_scales_that_are_not_finite(tmp_path: Path) -> None:
    for kind, suffix in (("fp8-blocks", "weight_scale_inv"), ("gptq", "scales"), ("bnb-8bit", "SCB")):
        folder = write(BY_NAME[kind], tmp_path / kind)
        spoil(folder, lambda weights, name=f"{Q_PROJ}.{suffix}": weights[name].view(-1)[:1].fill_(float("inf")))
        with pytest.raises(SourceError, match=re.escape(f"{Q_PROJ}.{suffix}")):
            check_finite(open_checkpoint(folder))


def test_a_refused_cut_writes_nothing(tmp_path: Path) -> None:
    folder = write(BY_NAME["fp8-blocks"], tmp_path / "dense")
    with_config(folder, modules_to_not_convert=["lm_head", "3.mlp.down_proj"])
    plan = plan_of("by hand", NUM_BLOCKS, [Removal(block=1, cluster=None, score=0.0)])
    (tmp_path / "variant").mkdir()
    with pytest.raises(SourceError):
        prune(open_checkpoint(folder), plan, tmp_path / "variant")
    assert list((tmp_path / "variant").iterdir()) == []
