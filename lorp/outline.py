"""What a config's model is made of, and which stored tensors it loads: asked of the model itself, without its weights.

A config and stored tensor headers come in; those of the tensors that belong to the model go out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from lorp.architectures import Family
from lorp.architectures.experts import Place
from lorp.errors import SourceError
from lorp.quantization import (
    FIELD,
    FLOATS,
    Packed,
    Quantization,
    Scheme,
    StoredMaps,
    check_cache_scales,
    check_left_over,
    is_cache_scale,
)
from lorp.safetensors_file import Tensor


@dataclass(frozen=True, kw_only=True)
class ModelOutline:
    """What transformers builds from a config.

    Attributes:
        shapes: Shape by tensor name.
        tied: Tensors that are one with another, and that other: either need not be stored.
        linear: Weights of linear maps, and whether they are inputs x outputs.
        settings: Config fields that were asked for, given or derived; None where the model has none.
    """

    shapes: Mapping[str, tuple[int, ...]]
    tied: Mapping[str, str]
    linear: Mapping[str, bool]
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What of a checkpoint is the model's.

    Attributes:
        tensors: Those that the model loads, or that stand for what it loads, by name on disk.
        ignored: Names of the others.
        quantization: How weights are quantised, where they are.
    """

    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]
    quantization: Quantization | None


def outline_of(folder: Path, family: Family, fields: tuple[str, ...]) -> ModelOutline:
    """The outline of a config's model, built without memory for weights, and without quantising any.

    Raises:
        SourceError: transformers cannot build a model from the config.
    """
    import torch
    import transformers
    from transformers.pytorch_utils import Conv1D

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if hasattr(config, FIELD):
            delattr(config, FIELD)
        with torch.device("meta"):
            model = getattr(transformers, family.model_class).from_config(config, trust_remote_code=False)
    except Exception as fault:  # whatever a hostile config provokes in transformers is the source's fault
        raise SourceError(f"its config builds no model: {fault}", "Fetch the checkpoint again") from fault
    settings = getattr(config, family.section) if family.section else config
    return ModelOutline(
        shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        tied=dict(model.all_tied_weights_keys),
        linear={
            f"{name}.weight": isinstance(module, Conv1D)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear | Conv1D)
        },
        settings={field: getattr(settings, field, None) for field in fields},
    )


def match(
    family: Family,
    outline: ModelOutline,
    stored: Mapping[str, Tensor],
    scheme: Scheme | None = None,
    others: Sequence[Family] = (),
) -> Matched:
    """Splits stored tensors, by their names on disk, into those that the model loads and the others.

    Args:
        family: Of the model.
        outline: What the model is made of.
        stored: By name on disk.
        scheme: By which weights are quantised; None where none may be.
        others: The model's other stacks.

    Raises:
        SourceError: A tensor is missing, stored twice, of another shape or dtype, of no expert, or quantised otherwise.
    """
    maps = StoredMaps(family, outline.shapes, outline.linear, stored) if scheme else None
    packed = maps.packed(scheme) if maps and scheme else ()
    parts = {tensor.name: tensor for weight in packed for tensor in weight.tensors}
    plain = _plain(family, outline, {name: tensor for name, tensor in stored.items() if name not in parts})
    _check_complete(outline, _num_weights(plain, packed))
    tensors = {**{tensor.name: tensor for tensor in plain.values()}, **parts}
    if maps is None or scheme is None:
        return Matched(tensors=tensors, ignored=tuple(sorted(stored.keys() - tensors.keys())), quantization=None)
    tensors |= _beside(family, others, outline, [tensor for name, tensor in stored.items() if name not in tensors])
    quantized = frozenset(weight.linear.module for weight in packed)
    return Matched(
        tensors=tensors,
        ignored=tuple(sorted(stored.keys() - tensors.keys())),
        quantization=Quantization(scheme=scheme, linears=maps.linears, quantized=quantized),
    )


def _plain(family: Family, outline: ModelOutline, stored: Mapping[str, Tensor]) -> dict[Place, Tensor]:
    """The model's tensors that are stored as they are."""
    loaded: dict[Place, Tensor] = {}
    for tensor in stored.values():
        place = family.place_of(tensor.name, outline.shapes)
        if place is None:
            continue
        if place in loaded:
            raise SourceError(f"{place.name} is stored twice", "Fetch the checkpoint again")
        _check(tensor, place.shape(outline.shapes[place.name]))
        loaded[place] = tensor
    return loaded


def _beside(
    family: Family, others: Sequence[Family], outline: ModelOutline, left_over: list[Tensor]
) -> dict[str, Tensor]:
    """What a quantised checkpoint holds beside its model, and must not lose."""
    blocks = _blocks_of(family, outline)
    ours = [tensor for tensor in left_over if (block := family.block_of(tensor.name)) is None or block in blocks]
    scales = {tensor.name: tensor for tensor in ours if is_cache_scale(tensor.name)}
    of_others: set[str] = set()
    for other in others:
        owned = [tensor for tensor in scales.values() if other.block_of(tensor.name) is not None]
        check_cache_scales(other, _blocks_of(other, outline), owned)
        of_others.update(tensor.name for tensor in owned)
    check_cache_scales(family, blocks, [tensor for name, tensor in scales.items() if name not in of_others])
    check_left_over(family, blocks, [tensor for tensor in ours if tensor.name not in scales])
    return scales


def _blocks_of(family: Family, outline: ModelOutline) -> frozenset[int]:
    return frozenset(block for name in outline.shapes if (block := family.block_of(name)) is not None)


def _num_weights(plain: Mapping[Place, Tensor], packed: tuple[Packed, ...]) -> dict[Place, int]:
    """Numbers of weights that are stored, by where they are in the model."""
    found = {place: prod(tensor.shape) for place, tensor in plain.items()}
    for weight in packed:
        if weight.place in found:
            raise SourceError(f"{weight.place.name} is stored twice", "Fetch the checkpoint again")
        found[weight.place] = weight.linear.num_weights
    return found


def _check(tensor: Tensor, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        raise SourceError(f"{tensor.name} is of an expert that its config does not have", "Mend the config")
    if tensor.shape != shape:
        raise SourceError(
            f"{tensor.name} has the shape {list(tensor.shape)}, where its config wants {list(shape)}",
            "Fetch the checkpoint again",
        )
    if tensor.dtype not in FLOATS:
        raise SourceError(
            f"{tensor.name} is stored as {tensor.dtype}, where floating-point weights are wanted",
            "Dequantise the checkpoint first",
        )


def _check_complete(outline: ModelOutline, loaded: Mapping[Place, int]) -> None:
    """By numbers of weights: a tensor may be stored in parts, all of them or none beside the whole."""
    found: Counter[str] = Counter()
    for place, num_weights in loaded.items():
        found[place.name] += num_weights
    pairs = [*outline.tied.items(), *((source, name) for name, source in outline.tied.items())]
    stand_ins = {name for name, other in pairs if other in found}
    wanted = {name: prod(shape) for name, shape in outline.shapes.items()}
    if twice := [name for name in found if found[name] > wanted[name]]:
        raise SourceError(f"{twice[0]} is stored twice, in parts and as a whole", "Fetch the checkpoint again")
    missing = [name for name in wanted if name not in stand_ins and (name not in found or found[name] < wanted[name])]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        part = "part of " if missing[0] in found else ""
        raise SourceError(f"{part}tensor {missing[0]}{more} is missing", "Fetch the checkpoint again")
