"""A checkpoint's model as transformers loads it, plain or quantised, and what it says of the keys."""

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from transformers import AutoConfig

from lorp.checkpoint import Checkpoint
from lorp.errors import SourceError
from lorp.quantization import FIELD, Quantization, Scheme, is_cache_scale
from lorp.quantization.compressed_tensors import CompressedTensors
from lorp.quantization.fp8 import Fp8, misread

_KINDS = ("missing_keys", "mismatched_keys", "error_msgs")


def from_pretrained(checkpoint: Checkpoint, **settings: Any) -> tuple[Any, Mapping[str, Any]]:
    """The model, and what transformers says of how it was loaded: no remote code, safetensors only, nothing fetched."""
    model, loading = getattr(transformers, checkpoint.family.model_class).from_pretrained(
        checkpoint.folder,
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **settings,
    )
    return model, loading


def loading_fault(checkpoint: Checkpoint, loading: Mapping[str, Any]) -> str | None:
    """The first key that is missing, of another shape, or unexpected and not known to be ignored; None if none is."""
    faults = {kind: loading[kind] for kind in _KINDS}
    faults["unexpected_keys"] = set(loading["unexpected_keys"]) - _ignored_names(checkpoint)
    return next((f"{kind}: {sorted(map(str, names))[0]}" for kind, names in faults.items() if names), None)


def load_quantized(checkpoint: Checkpoint, quantization: Quantization, dtype: str, device: torch.device) -> Any:
    """A quantised checkpoint's model, where the machine has what that takes.

    Raises:
        SourceError: A package or a device is missing, or transformers does not read the weights as they are stored.
    """
    method = quantization.scheme.method
    _refuse_misread(quantization)
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
        if _runs_dequantised(quantization.scheme):
            getattr(config, FIELD)["dequantize"] = True
        model, loading = from_pretrained(
            checkpoint, dtype=getattr(torch, dtype), config=config, ignore_mismatched_sizes=True
        )
        placed = model.to(device)
    except Exception as fault:  # packages that are missing, or other than wanted, fail anywhere in the loader
        raise SourceError(
            f"its {method} weights do not run here: {fault}",
            "Install what is missing, or use a machine that has it, or dequantise the checkpoint first",
        ) from fault
    if named := loading_fault(checkpoint, loading):
        raise SourceError(
            f"transformers does not read its {method} weights as they are stored ({named})",
            "Dequantise the checkpoint first",
        )
    return placed


def _runs_dequantised(scheme: Scheme) -> bool:
    """Whether weights are dequantised when they are loaded, wherever that is.

    FP8 is: transformers would fetch code from the hub to compute with it. So is what compressed-tensors quantises
    without inputs: that computes the same, and transformers does not load stored zeros otherwise. Of several groups it
    would take one for all.
    """
    if isinstance(scheme, CompressedTensors):
        return len(scheme.groups) == 1 and not scheme.groups[0].quantized_inputs
    return isinstance(scheme, Fp8)


def _refuse_misread(quantization: Quantization) -> None:
    scheme = quantization.scheme
    quantized = [linear for linear in quantization.linears if linear.module in quantization.quantized]
    if isinstance(scheme, Fp8) and (module := misread(scheme, quantized)):
        raise SourceError(
            f"transformers cannot dequantise {module}: blocks of {list(scheme.block or ())} do not divide its weight",
            "Dequantise the checkpoint first",
        )


def _ignored_names(checkpoint: Checkpoint) -> set[str]:
    """Names of the tensors that the model does not load, on disk and as transformers would put them together."""
    family = checkpoint.family
    scales = {name for name in checkpoint.tensors if checkpoint.quantization and is_cache_scale(name)}
    inner = {name: inside for name in (*checkpoint.ignored, *scales) if (inside := _name_in_block(checkpoint, name))}
    others = {other for name in checkpoint.ignored if name not in inner for other in family.possible_names(name)}
    return {*checkpoint.ignored, *inner.values(), *others, *scales}


def _name_in_block(checkpoint: Checkpoint, name: str) -> str | None:
    """The name in the model of what is stored with a block of any stack; None for what is stored with none."""
    for family in checkpoint.stacks:
        if (block := family.block_of(name)) is not None:
            return f"{family.blocks_path}.{block}.{family.place_in_block(name).name}"
    return None
