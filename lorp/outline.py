"""What a config's model is made of, and which stored tensors it loads: asked of the model itself, without its weights.

A config and stored tensor headers come in; those of the tensors that belong to the model go out.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from lorp.architectures import Family
from lorp.architectures.experts import Place
from lorp.errors import SourceError
from lorp.safetensors_file import Tensor

_FLOATS = frozenset({"F16", "BF16", "F32", "F64"})


@dataclass(frozen=True, kw_only=True)
class ModelOutline:
    """What transformers builds from a config.

    Attributes:
        shapes: Shape by tensor name.
        tied: Tensors that are one with another, and that other: either need not be stored.
        settings: Config fields that were asked for, given or derived; None where the model has none.
    """

    shapes: Mapping[str, tuple[int, ...]]
    tied: Mapping[str, str]
    settings: Mapping[str, Any]


def outline_of(folder: Path, family: Family, fields: tuple[str, ...]) -> ModelOutline:
    """The outline of a config's model, built without memory for weights.

    Raises:
        SourceError: transformers cannot build a model from the config.
    """
    import torch
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = getattr(transformers, family.model_class).from_config(config, trust_remote_code=False)
    except Exception as fault:  # whatever a hostile config provokes in transformers is the source's fault
        raise SourceError(f"its config builds no model: {fault}", "Fetch the checkpoint again") from fault
    settings = getattr(config, family.section) if family.section else config
    return ModelOutline(
        shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        tied=dict(model.all_tied_weights_keys),
        settings={field: getattr(settings, field, None) for field in fields},
    )


def match(
    family: Family, outline: ModelOutline, stored: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Splits stored tensors, by their names on disk, into those that the model loads and the names of the others.

    Raises:
        SourceError: A tensor is missing, stored twice, of another shape or of no expert, or quantised.
    """
    loaded: dict[Place, Tensor] = {}
    for tensor in stored.values():
        place = family.place_of(tensor.name, outline.shapes)
        if place is None:
            continue
        if place in loaded:
            raise SourceError(f"{place.name} is stored twice", "Fetch the checkpoint again")
        _check(tensor, place.shape(outline.shapes[place.name]))
        loaded[place] = tensor
    _check_complete(outline, loaded)
    by_stored_name = {tensor.name: tensor for tensor in loaded.values()}
    return by_stored_name, tuple(sorted(set(stored) - set(by_stored_name)))


def _check(tensor: Tensor, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        raise SourceError(f"{tensor.name} is of an expert that its config does not have", "Mend the config")
    if tensor.shape != shape:
        raise SourceError(
            f"{tensor.name} has the shape {list(tensor.shape)}, where its config wants {list(shape)}",
            "Fetch the checkpoint again",
        )
    if tensor.dtype not in _FLOATS:
        raise SourceError(
            f"{tensor.name} is stored as {tensor.dtype}, and lorp prunes floating-point weights",
            "Dequantise the checkpoint first",
        )


def _check_complete(outline: ModelOutline, loaded: Mapping[Place, Tensor]) -> None:
    """By numbers of weights: a tensor may be stored in parts, all of them or none beside the whole."""
    found: Counter[str] = Counter()
    for place, tensor in loaded.items():
        found[place.name] += prod(tensor.shape)
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
