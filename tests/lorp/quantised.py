"""A pico Llama in every quantised format that lorp opens, written with the arithmetic of that format.

Of each format there is what packs a weight into its tensors, and what makes the weight of them again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pico import NUM_BLOCKS, edit_json, make_pico
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lorp.checkpoint import open_checkpoint

Tensors = dict[str, torch.Tensor]

#: Maps of blocks that no format quantises: of one that is removed below, and of two that stay.
PLAIN = ("model.layers.0.mlp.down_proj", "model.layers.3.mlp.down_proj", "model.layers.4.self_attn.q_proj")
#: What is left of them without blocks 1 and 4.
REMOVED = (1, 4)
PLAIN_AFTER = ("model.layers.0.mlp.down_proj", "model.layers.2.mlp.down_proj")

MAPS = tuple(
    f"model.layers.{block}.{name}"
    for block in range(NUM_BLOCKS)
    for name in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Format:
    """A format.

    Attributes:
        name: What tests call it.
        config: Its `quantization_config`.
        after: The same once blocks 1 and 4 are gone.
        pack: A module's name and its weight -> tensors by suffix.
        unpack: The other way round.
        beside: Further tensors to store.
    """

    name: str
    config: Mapping[str, Any]
    after: Mapping[str, Any]
    pack: Callable[[str, torch.Tensor], Tensors]
    unpack: Callable[[str, Tensors], torch.Tensor]
    beside: Tensors = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def write(kind: Format, folder: Path, shards: int = 1, **settings: object) -> Path:
    """Writes a checkpoint in that format."""
    make_pico(folder, hidden_size=64, intermediate_size=96, **settings)
    weights = load_file(folder / "model.safetensors")
    stored = dict(kind.beside)
    for name, tensor in weights.items():
        module = name.removesuffix(".weight")
        if module in MAPS and module not in PLAIN:
            stored |= {f"{module}.{suffix}": part.contiguous() for suffix, part in kind.pack(module, tensor).items()}
        else:
            stored[name] = tensor
    edit_json(folder / "config.json", quantization_config=kind.config)
    _save(stored, folder, shards)
    return folder


def dequantise(kind: Format, folder: Path, to: Path) -> Path:
    """Writes a checkpoint in that format as a plain one."""
    stored = read_all(folder)
    modules = {module for module in MAPS if any(name.startswith(f"{module}.") for name in stored)}
    plain = {name: tensor for name, tensor in stored.items() if not any(name.startswith(f"{m}.") for m in modules)}
    for module in modules:
        parts = {n.removeprefix(f"{module}."): t for n, t in stored.items() if n.startswith(f"{module}.")}
        is_plain = parts.keys() == {"weight"} and parts["weight"].dtype == torch.float32
        plain[f"{module}.weight"] = parts["weight"] if is_plain else kind.unpack(module, parts)
    to.mkdir()
    loaded = {name: tensor.contiguous() for name, tensor in plain.items() if name not in kind.beside}
    save_file(loaded, to / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "quantization_config"}))
    return to


def read_all(folder: Path) -> Tensors:
    """Every tensor of a folder's weight files."""
    tensors: Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors


def raw(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Dtype, shape and bytes of every tensor that lorp takes for the model's."""
    return {
        name: (tensor.dtype, tensor.shape, tensor.path.read_bytes()[tensor.start :][: tensor.num_bytes])
        for name, tensor in open_checkpoint(folder).tensors.items()
    }


def _save(stored: Tensors, folder: Path, shards: int) -> None:
    (folder / "model.safetensors").unlink()
    if shards == 1:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        # In turn, so that the tensors of one weight are in several files.
        part = {name: tensor for at, (name, tensor) in enumerate(stored.items()) if at % shards == shard}
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _blocks(weight: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """R x r x C x c."""
    return weight.reshape(weight.shape[0] // rows, rows, weight.shape[1] // columns, columns)


def _fp8_blocks(_: str, weight: torch.Tensor) -> Tensors:
    scale = _blocks(weight, 32, 32).abs().amax(dim=(1, 3)) / 448
    quantised = (_blocks(weight, 32, 32) / scale[:, None, :, None]).reshape(weight.shape)
    return {"weight": quantised.to(torch.float8_e4m3fn), "weight_scale_inv": scale}


def _from_fp8_blocks(_: str, parts: Tensors) -> torch.Tensor:
    wide, scale = parts["weight"].float(), parts["weight_scale_inv"]
    return (_blocks(wide, 32, 32) * scale[:, None, :, None]).reshape(wide.shape)


def _fp8_whole(scale_name: str, input_name: str) -> Callable[[str, torch.Tensor], Tensors]:
    def pack(_: str, weight: torch.Tensor) -> Tensors:
        scale = weight.abs().max() / 448
        return {
            "weight": (weight / scale).to(torch.float8_e4m3fn), scale_name: scale.reshape(1),
            input_name: torch.tensor([0.5]),
        }  # fmt: skip

    return pack


def _from_whole(scale_name: str) -> Callable[[str, Tensors], torch.Tensor]:
    return lambda _, parts: parts["weight"].float() * parts[scale_name]


def _ints(weight_OI: torch.Tensor, bits: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Numbers from 0, scales and zeros by group of inputs: O x I, O x G, O x G."""
    grouped = weight_OI.reshape(len(weight_OI), -1, size)
    low, high = grouped.amin(2), grouped.amax(2)
    scale = (high - low) / (2**bits - 1)
    zero = (-low / scale).round().clamp(1, 2**bits - 1)
    ints = (grouped / scale[..., None] + zero[..., None]).round().clamp(0, 2**bits - 1)
    return ints.reshape(weight_OI.shape).to(torch.int32), scale, zero.to(torch.int32)


def _pack_rows(ints: torch.Tensor, bits: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    """Neighbouring rows into an int32, the first lowest, or in another order."""
    per = 32 // bits
    packed = torch.zeros(len(ints) // per, ints.shape[1], dtype=torch.int64)
    for place, row in enumerate(order or range(per)):
        packed |= ints[row::per].long() << (bits * place)
    return packed.to(torch.int32)


def _unpack_rows(packed: torch.Tensor, bits: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    per = 32 // bits
    ints = torch.zeros(len(packed) * per, packed.shape[1], dtype=torch.int32)
    for place, row in enumerate(order or range(per)):
        ints[row::per] = (packed.long() >> (bits * place) & (2**bits - 1)).to(torch.int32)
    return ints


def _by_group(ints_OI: torch.Tensor, scale_OG: torch.Tensor, zero_OG: torch.Tensor) -> torch.Tensor:
    size = ints_OI.shape[1] // scale_OG.shape[1]
    return (ints_OI - zero_OG.repeat_interleave(size, 1)) * scale_OG.repeat_interleave(size, 1)


def _gptq_bits(module: str) -> int:
    return 8 if "down_proj" in module else 4


def _gptq(module: str, weight: torch.Tensor) -> Tensors:
    bits = _gptq_bits(module)
    ints, scale, zero = _ints(weight, bits, 32)
    return {
        "qweight": _pack_rows(ints.T, bits), "qzeros": _pack_rows(zero - 1, bits).T, "scales": scale.T,
        "g_idx": torch.arange(weight.shape[1], dtype=torch.int32) // 32,
    }  # fmt: skip


def _from_gptq(module: str, parts: Tensors) -> torch.Tensor:
    bits = _gptq_bits(module)
    return _by_group(
        _unpack_rows(parts["qweight"], bits).T, parts["scales"].T, _unpack_rows(parts["qzeros"].T, bits) + 1
    )


_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def _awq(_: str, weight: torch.Tensor) -> Tensors:
    ints, scale, zero = _ints(weight, 4, 32)
    return {
        "qweight": _pack_rows(ints, 4, _AWQ_ORDER).T, "qzeros": _pack_rows(zero, 4, _AWQ_ORDER).T, "scales": scale.T,
    }  # fmt: skip


def _from_awq(_: str, parts: Tensors) -> torch.Tensor:
    ints, zero = (_unpack_rows(parts[name].T, 4, _AWQ_ORDER) for name in ("qweight", "qzeros"))
    return _by_group(ints, parts["scales"].T, zero)


def _int8(_: str, weight: torch.Tensor) -> Tensors:
    largest = weight.abs().amax(1)
    return {
        "weight": (weight * 127 / largest[:, None]).round().to(torch.int8), "SCB": largest,
        "weight_format": torch.tensor(0, dtype=torch.uint8),
    }  # fmt: skip


def _from_int8(_: str, parts: Tensors) -> torch.Tensor:
    return parts["weight"].float() * parts["SCB"][:, None] / 127


_LEVELS = torch.linspace(-1, 1, 16)


def _four_bits(_: str, weight: torch.Tensor) -> Tensors:
    blocks = weight.reshape(-1, 64)
    largest = blocks.abs().amax(1)
    ints = (blocks / largest[:, None]).reshape(-1, 1).sub(_LEVELS).abs().argmin(1).to(torch.uint8)
    offset, top = largest.mean(), (largest - largest.mean()).abs().max()
    state = json.dumps(
        {"quant_type": "nf4", "blocksize": 64, "shape": list(weight.shape), "nested_offset": offset.item()}
    )
    nested = (((largest - offset) / top + 1) * 127.5).round().to(torch.uint8)
    return {
        "weight": (ints[::2] << 4 | ints[1::2]).reshape(-1, 1), "weight.absmax": nested,
        "weight.quant_map": _LEVELS.clone(), "weight.nested_absmax": top.reshape(1),
        "weight.nested_quant_map": torch.linspace(-1, 1, 256),
        "weight.quant_state.bitsandbytes__nf4": torch.tensor(list(state.encode()), dtype=torch.uint8),
    }  # fmt: skip


def _from_four_bits(_: str, parts: Tensors) -> torch.Tensor:
    state = json.loads(bytes(parts["weight.quant_state.bitsandbytes__nf4"].tolist()))
    nested = parts["weight.nested_quant_map"][parts["weight.absmax"].long()]
    scale = nested * parts["weight.nested_absmax"] + state["nested_offset"]
    pairs = parts["weight"].reshape(-1)
    ints = torch.stack([pairs >> 4, pairs & 15], dim=1).reshape(-1, state["blocksize"])
    return (parts["weight.quant_map"][ints.long()] * scale[:, None]).reshape(state["shape"])


def _is_float(module: str) -> bool:
    return any(f"layers.{block}.mlp." in module for block in (0, 3, 4))


def _mixed(module: str, weight: torch.Tensor) -> Tensors:
    """The MLPs of blocks 0, 3 and 4 in 8-bit floats, all else in packed integers around 0."""
    if _is_float(module):
        scale = weight.abs().amax(1, keepdim=True) / 448
        return {"weight": (weight / scale).to(torch.float8_e4m3fn), "weight_scale": scale}
    scale = weight.reshape(len(weight), -1, 32).abs().amax(2) / 7
    ints = (weight / scale.repeat_interleave(32, 1)).round().to(torch.int32) + 8
    return {
        "weight_packed": _pack_rows(ints.T, 4).T,
        "weight_scale": scale,
        "weight_shape": torch.tensor(weight.shape),
    }


def _from_mixed(_: str, parts: Tensors) -> torch.Tensor:
    if "weight" in parts:
        return parts["weight"].float() * parts["weight_scale"]
    ints = _unpack_rows(parts["weight_packed"].T, 4).T
    return _by_group(ints, parts["weight_scale"], torch.full_like(parts["weight_scale"], 8))


def _packed(_: str, weight: torch.Tensor) -> Tensors:
    ints, scale, zero = _ints(weight, 4, 32)
    return {
        "weight_packed": _pack_rows(ints.T, 4).T, "weight_scale": scale, "weight_zero_point": _pack_rows(zero, 4),
        "weight_shape": torch.tensor(weight.shape),
    }  # fmt: skip


def _from_packed(_: str, parts: Tensors) -> torch.Tensor:
    zero = _unpack_rows(parts["weight_zero_point"], 4)
    return _by_group(_unpack_rows(parts["weight_packed"].T, 4).T, parts["weight_scale"], zero)


def _int8_channels(_: str, weight: torch.Tensor) -> Tensors:
    scale = weight.abs().amax(1, keepdim=True) / 127
    return {"weight": (weight / scale).round().to(torch.int8), "weight_scale": scale}


def _skipping(field_name: str, **config: Any) -> dict[str, dict[str, Any]]:
    return {
        "config": {**config, field_name: ["lm_head", *PLAIN]},
        "after": {**config, field_name: ["lm_head", *PLAIN_AFTER]},
    }


_GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "checkpoint_format": "gptq"}
_NOT = ("-:.*layers\\.[03]\\.mlp\\.down_proj", "-:.*layers\\.4\\.self_attn\\.q_proj")
_EIGHT = {"+:.*\\.down_proj": {"bits": 8}}
_FLOATS = {
    "format": "naive-quantized",
    "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
}
_INTS = {
    "format": "pack-quantized", "targets": ["Linear"],
    "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True},
}  # fmt: skip
_MIXED = {"quant_method": "compressed-tensors", "format": "mixed-precision", "quantization_status": "compressed"}
_KEPT_MLPS = [f"model.layers.{block}.mlp.{name}" for block in (0, 2) for name in ("down_proj", "gate_proj", "up_proj")]
_CACHE = {f"model.layers.{block}.self_attn.{kind}_scale": torch.tensor([block + 0.5])
          for block in range(NUM_BLOCKS) for kind in "kv"}  # fmt: skip

FORMATS = (
    Format(
        name="fp8-blocks", pack=_fp8_blocks, unpack=_from_fp8_blocks,
        **_skipping("modules_to_not_convert", quant_method="fp8", weight_block_size=[32, 32]),
    ),
    Format(
        name="fp8-static", pack=_fp8_whole("weight_scale_inv", "activation_scale"),
        unpack=_from_whole("weight_scale_inv"), beside=_CACHE,
        **_skipping(
            "modules_to_not_convert", quant_method="fp8", weight_block_size=None, activation_scheme="static"
        ),
    ),
    Format(
        name="fp8-vllm", pack=_fp8_whole("weight_scale", "input_scale"), unpack=_from_whole("weight_scale"),
        beside=_CACHE,
        **_skipping(
            "ignored_layers", quant_method="fp8", activation_scheme="static", kv_cache_scheme={"num_bits": 8}
        ),
    ),
    Format(
        name="awq", pack=_awq, unpack=_from_awq,
        **_skipping("modules_to_not_convert", quant_method="awq", bits=4, group_size=32, version="gemm"),
    ),
    Format(
        name="gptq", pack=_gptq, unpack=_from_gptq,
        config={**_GPTQ, "dynamic": {_NOT[0]: {}, _NOT[1]: {}, **_EIGHT}},
        after={
            **_GPTQ,
            "dynamic": {**{f"-:^{name.replace('.', chr(92) + '.')}$": {} for name in PLAIN_AFTER}, **_EIGHT},
        },
    ),
    Format(
        name="bnb-8bit", pack=_int8, unpack=_from_int8,
        **_skipping("llm_int8_skip_modules", quant_method="bitsandbytes", load_in_8bit=True),
    ),
    Format(
        name="bnb-4bit", pack=_four_bits, unpack=_from_four_bits,
        **_skipping(
            "llm_int8_skip_modules", quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False,
            bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        ),
    ),
    Format(
        name="compressed-mixed", pack=_mixed, unpack=_from_mixed,
        config={
            **_MIXED, "ignore": ["lm_head", *PLAIN],
            "config_groups": {
                "floats": {**_FLOATS, "targets": ["re:model\\.layers\\.(0|3|4)\\.mlp\\..*"]}, "ints": _INTS,
            },
        },
        after={
            **_MIXED, "ignore": ["lm_head", *PLAIN_AFTER],
            "config_groups": {"floats": {**_FLOATS, "targets": _KEPT_MLPS}, "ints": _INTS},
        },
    ),
    Format(
        name="compressed-packed", pack=_packed, unpack=_from_packed,
        **_skipping(
            "ignore", quant_method="compressed-tensors", format="pack-quantized", quantization_status="compressed",
            config_groups={"group_0": {**_INTS, "weights": {**_INTS["weights"], "symmetric": False}}},
        ),
    ),
    Format(
        name="compressed-int8", pack=_int8_channels, unpack=_from_whole("weight_scale"),
        **_skipping(
            "ignore", quant_method="compressed-tensors", format="int-quantized", quantization_status="compressed",
            config_groups={
                "group_0": {
                    "targets": ["re:.*(self_attn|mlp)\\.[a-z]+_proj$"],
                    "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
                    "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True},
                },
            },
        ),
    ),
)  # fmt: skip

BY_NAME = {kind.name: kind for kind in FORMATS}
