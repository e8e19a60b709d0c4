"""A checkpoint is opened when it is sound, and refused with the reason when it is not."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from pico import NUM_BLOCKS, edit_json, make_pico
from safetensors.torch import load_file, save_file

from lorp.checkpoint import open_checkpoint
from lorp.errors import SourceError, UnknownArchitectureError, UnsafeCheckpointError
from lorp.finite import check_finite
from lorp.safetensors_file import read_tensors

WEIGHTS = "model.safetensors"


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def test_opens_a_sound_checkpoint(pico: Path) -> None:
    checkpoint = open_checkpoint(pico)
    check_finite(checkpoint)
    assert checkpoint.num_blocks == NUM_BLOCKS
    assert checkpoint.ignored == ()
    assert checkpoint.weight_bytes == sum(tensor.nbytes for tensor in load_file(pico / WEIGHTS).values())
    assert set(checkpoint.files) >= {"config.json", WEIGHTS, "tokenizer.json"}


def test_opens_shards_by_their_index(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(make_pico(tmp_path, max_shard_size="100KB"))
    assert len(checkpoint.shards) > 1
    assert "model.safetensors.index.json" in checkpoint.files


def test_reads_the_same_tensors_as_the_safetensors_library(pico: Path) -> None:
    ours = {tensor.name: tensor for tensor in read_tensors(pico / WEIGHTS)}
    theirs = load_file(pico / WEIGHTS)
    data = (pico / WEIGHTS).read_bytes()
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        assert data[tensor.start :][: tensor.num_bytes] == theirs[name].numpy().tobytes()


def test_tensors_that_transformers_ignores_are_no_reason_to_refuse(pico_copy: Path) -> None:
    edit_weights(
        pico_copy, lambda weights: weights.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    )
    assert open_checkpoint(pico_copy).ignored == ("model.layers.0.self_attn.rotary_emb.inv_freq",)


def test_pickled_files_beside_safetensors_do_not_belong(pico_copy: Path) -> None:
    (pico_copy / "pytorch_model.bin").write_bytes(b"never read")
    assert "pytorch_model.bin" not in open_checkpoint(pico_copy).files


def test_what_published_checkpoints_also_hold_does_not_belong(pico_copy: Path) -> None:
    others = [
        "README.md", ".gitattributes", "consolidated.safetensors", "model.fp16.safetensors", "tf_model.h5",
        "flax_model.msgpack", "rust_model.ot", "pytorch_model.bin", "pytorch_model.bin.index.json",
        "original/params.json", "original/consolidated.00.pth", "onnx/model.onnx",
    ]  # fmt: skip
    before = open_checkpoint(pico_copy).files
    for name in others:
        (pico_copy / name).parent.mkdir(exist_ok=True)
        (pico_copy / name).write_bytes(b"never read")
    assert open_checkpoint(pico_copy).files == before


def test_refuses_two_sets_of_weights(tmp_path: Path, pico: Path) -> None:
    folder = make_pico(tmp_path, max_shard_size="100KB")
    shutil.copy(pico / WEIGHTS, folder / WEIGHTS)
    with pytest.raises(SourceError, match=r"both model\.safetensors and"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "model.ckpt"])
def test_refuses_pickled_weights(pico_copy: Path, name: str) -> None:
    (pico_copy / WEIGHTS).rename(pico_copy / name)
    with pytest.raises(UnsafeCheckpointError, match="pickled"):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_refuses_code_of_its_own(pico_copy: Path, name: str) -> None:
    edit_json(pico_copy / name, auto_map={"AutoModelForCausalLM": "evil.Model"})
    with pytest.raises(UnsafeCheckpointError, match="auto_map"):
        open_checkpoint(pico_copy)


def test_refuses_code_hidden_deeper_in_the_config(pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", text_config={"auto_map": {"AutoConfig": "evil.Config"}})
    with pytest.raises(UnsafeCheckpointError, match="auto_map"):
        open_checkpoint(pico_copy)


def test_refuses_a_missing_tensor(pico_copy: Path) -> None:
    edit_weights(pico_copy, lambda weights: weights.pop("model.layers.3.mlp.up_proj.weight"))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=r"model\.layers\.3\.mlp\.up_proj\.weight is missing"):
        open_checkpoint(pico_copy)


def test_refuses_a_wrong_shape(pico_copy: Path) -> None:
    edit_weights(pico_copy, lambda weights: weights.update({"model.norm.weight": torch.ones(31)}))
    with pytest.raises(SourceError, match=r"model\.norm\.weight has the shape \[31\]"):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_refuses_weights_that_are_not_finite(pico_copy: Path, value: float) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.2.mlp.up_proj.weight"][3, 4] = value

    edit_weights(pico_copy, spoil)
    with pytest.raises(SourceError, match=r"model\.layers\.2\.mlp\.up_proj\.weight"):
        check_finite(open_checkpoint(pico_copy))


def test_names_the_known_architectures_when_it_refuses_another(pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", model_type="rwkv", architectures=["RwkvForCausalLM"])
    with pytest.raises(UnknownArchitectureError, match=r"rwkv.*known: Llama, Mistral, .*OPT, "):
        open_checkpoint(pico_copy)


def test_refuses_a_llama_that_is_no_language_model(pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", architectures=["LlamaForSequenceClassification"])
    with pytest.raises(UnknownArchitectureError):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize("depth", [NUM_BLOCKS - 1, NUM_BLOCKS + 1, None, "6", True, -1])
def test_refuses_a_config_of_another_depth_than_the_weights(pico_copy: Path, depth: object) -> None:
    edit_json(pico_copy / "config.json", num_hidden_layers=depth)
    with pytest.raises(SourceError):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_refuses_a_config_that_is_no_json_object(pico_copy: Path, content: str) -> None:
    (pico_copy / "config.json").write_text(content)
    with pytest.raises(SourceError, match=r"config\.json"):
        open_checkpoint(pico_copy)


def test_refuses_a_folder_without_config_or_weights(tmp_path: Path, pico_copy: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="no checkpoint"):
        open_checkpoint(empty)
    (pico_copy / WEIGHTS).unlink()
    with pytest.raises(SourceError, match="no weights"):
        open_checkpoint(pico_copy)


def test_refuses_an_index_that_leads_elsewhere(tmp_path: Path) -> None:
    folder = make_pico(tmp_path / "sharded", max_shard_size="100KB")
    index = folder / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    first = next(iter(weight_map.values()))
    shutil.copy(folder / first, tmp_path / "outside.safetensors")
    edit_json(index, weight_map={**weight_map, "model.norm.weight": "../outside.safetensors"})
    with pytest.raises(UnsafeCheckpointError, match="outside"):
        open_checkpoint(folder)


def test_refuses_a_shard_that_the_index_names_and_nobody_copied(tmp_path: Path) -> None:
    folder = make_pico(tmp_path, max_shard_size="100KB")
    shard = open_checkpoint(folder).shards[1]
    (folder / shard).unlink()
    with pytest.raises(SourceError, match=f"{shard}.*is missing"):
        open_checkpoint(folder)


def spoil_header(data: bytes, header: dict[str, object] | bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data[8 + length :]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data, _: data[:4], id="shorter than a length"),
        pytest.param(lambda data, _: (2**62).to_bytes(8, "little") + data[8:], id="length of exabytes"),
        pytest.param(lambda data, _: data[:-1], id="last byte gone"),
        pytest.param(lambda data, _: data + b"\0", id="a byte too many"),
        pytest.param(lambda data, _: spoil_header(data, b"{]"), id="not JSON"),
        pytest.param(lambda data, _: spoil_header(data, b"[" * 100_000), id="nested without end"),
        pytest.param(lambda data, _: spoil_header(data, b'{"a":1,"a":1}'), id="name twice"),
        pytest.param(lambda data, header: spoil_header(data, {**header, "x": {"dtype": "F32"}}), id="no range"),
        pytest.param(
            lambda data, header: spoil_header(
                data, {**header, "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
            ),
            id="overlap",
        ),
        pytest.param(
            lambda data, header: spoil_header(
                data, {**header, "x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}
            ),
            id="negative shape",
        ),
        pytest.param(
            lambda data, header: spoil_header(
                data, {**header, "x": {"dtype": "P", "shape": [], "data_offsets": [0, 0]}}
            ),
            id="unknown dtype",
        ),
    ],
)
def test_refuses_a_malformed_safetensors_file(
    pico_copy: Path, spoil: Callable[[bytes, dict[str, object]], bytes]
) -> None:
    data = (pico_copy / WEIGHTS).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    (pico_copy / WEIGHTS).write_bytes(spoil(data, header))
    with pytest.raises(SourceError, match="no sound safetensors file"):
        open_checkpoint(pico_copy)


def test_refuses_overlapping_tensors_even_where_the_end_is_right(pico_copy: Path) -> None:
    data = (pico_copy / WEIGHTS).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    names = sorted((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    first, second = header[names[0]], header[names[1]]
    second["data_offsets"] = first["data_offsets"]
    second["shape"], second["dtype"] = first["shape"], first["dtype"]
    (pico_copy / WEIGHTS).write_bytes(spoil_header(data, header))
    with pytest.raises(SourceError, match="overlap others or leave a hole"):
        open_checkpoint(pico_copy)


@pytest.mark.parametrize("field", ["transformers_weights", "auto_map"])
def test_refuses_a_config_that_loads_something_else(pico_copy: Path, field: str) -> None:
    edit_json(pico_copy / "config.json", **{field: "other.safetensors"})
    with pytest.raises(UnsafeCheckpointError, match=field):
        open_checkpoint(pico_copy)


def test_refuses_a_kernel_from_a_hub(pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", attn_implementation="someone/kernel")
    with pytest.raises(UnsafeCheckpointError, match="kernel"):
        open_checkpoint(pico_copy)


def test_refuses_quantised_weights(pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", quantization_config={"quant_method": "fp8"})
    with pytest.raises(SourceError, match="quantised"):
        open_checkpoint(pico_copy)
    edit_json(pico_copy / "config.json", quantization_config=None)
    edit_weights(pico_copy, lambda weights: weights.update({"model.norm.weight": torch.ones(32, dtype=torch.int8)}))
    with pytest.raises(SourceError, match="I8"):
        open_checkpoint(pico_copy)


def test_refuses_a_link_out_of_the_folder_and_follows_those_of_a_hub_cache(pico_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (pico_copy / "LICENSE").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeCheckpointError, match="LICENSE is a link"):
        open_checkpoint(pico_copy)
    (pico_copy / "LICENSE").unlink()
    snapshot = tmp_path / "models--x" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--x" / "blobs").mkdir()
    for path in pico_copy.iterdir():
        blob = tmp_path / "models--x" / "blobs" / f"blob-{path.name}"
        path.rename(blob)
        (snapshot / path.name).symlink_to(blob)
    assert open_checkpoint(snapshot).num_blocks == NUM_BLOCKS


@pytest.mark.parametrize(
    "change", [{"model_type": ["llama"]}, {"architectures": [["x"]]}, {"num_hidden_layers": 10**9}]
)
def test_odd_types_and_sizes_are_refused_too(pico_copy: Path, change: dict[str, object]) -> None:
    edit_json(pico_copy / "config.json", **change)
    with pytest.raises(SourceError):
        open_checkpoint(pico_copy)


def test_a_config_nested_without_end_is_refused_or_read_but_never_crashes(pico_copy: Path) -> None:
    nested = json.dumps(json.loads((pico_copy / "config.json").read_text()))[:-1]
    (pico_copy / "config.json").write_text(f'{nested}, "x": {"[" * 900}{"]" * 900}}}')
    with suppress(SourceError):
        open_checkpoint(pico_copy)
