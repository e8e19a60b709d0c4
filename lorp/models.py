"""Models and tokenizers by stock transformers: no remote code, safetensors only, every key in its place."""

import platform
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.errors import IntegrityError, SourceError, SpecError
from lorp.spec import ComputeSpec
from lorp.streaming import fill

#: What a config may ask a model to give besides logits, at the cost of memory.
_EXTRA_OUTPUTS = ("output_router_logits", "output_hidden_states", "output_attentions")

transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_model(folder: Path, compute: ComputeSpec) -> PreTrainedModel:
    """A checkpoint's model, ready for inference.

    Raises:
        SpecError: The device is not there.
        IntegrityError: Keys are missing, of another shape, or unexpected beyond those known to be ignored.
    """
    checkpoint, device = open_checkpoint(folder), _device(compute.device)
    loaded: Any = getattr(transformers, checkpoint.family.model_class).from_pretrained(
        folder,
        dtype=getattr(torch, compute.dtype),
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    model, loading = loaded
    faults = {kind: loading[kind] for kind in ("missing_keys", "mismatched_keys", "error_msgs")}
    faults["unexpected_keys"] = set(loading["unexpected_keys"]) - _ignored_names(checkpoint)
    for kind, names in faults.items():
        if names:
            raise IntegrityError(f"{folder} loads with {kind}: {sorted(map(str, names))[0]}", "Report this")
    return _ready(model.to(device))


def stream_model(folder: Path, compute: ComputeSpec) -> PreTrainedModel:
    """A checkpoint's model whose blocks are read from disk when they run, ready for inference.

    Raises:
        SpecError: The device is not there.
        SourceError: It is no sound checkpoint.
    """
    checkpoint, device = open_checkpoint(folder), _device(compute.device)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    dtype = getattr(torch, compute.dtype)
    with init_empty_weights(include_buffers=False):
        model_class = getattr(transformers, checkpoint.family.model_class)
        model = model_class.from_config(config, dtype=dtype, trust_remote_code=False)
    fill(model, checkpoint, device)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return _ready(model)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer.

    Raises:
        SourceError: There is none, or it cannot be loaded.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as fault:  # tokenizers raise bare Exception for broken files
        raise SourceError(f"its tokenizer cannot be loaded: {fault}", "Add its tokenizer's files") from fault
    return tokenizer  # type: ignore[no-any-return]


def device_kind(device: str) -> str:
    """`cpu`, or the accelerator's own name: results on two kinds of one brand may differ.

    Raises:
        SpecError: The device is not there.
    """
    found = _device(device)
    return torch.cuda.get_device_name(found) if found.type == "cuda" else found.type


def processor_name(device: str) -> str:
    """What timings depend on: the accelerator's name, or the CPU's as the operating system gives it.

    Raises:
        SpecError: The device is not there.
    """
    kind = device_kind(device)
    return cpuinfo_name(Path("/proc/cpuinfo")) or platform.machine() if kind == "cpu" else kind


def cpuinfo_name(path: Path) -> str | None:
    """The first `model name` of a Linux `cpuinfo` file; None where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _ready(model: Any) -> PreTrainedModel:
    for config in (model.config, model.config.get_text_config()):
        for extra in _EXTRA_OUTPUTS:
            if getattr(config, extra, False):
                setattr(config, extra, False)
    ready: PreTrainedModel = model.requires_grad_(False).eval()
    return ready


def _ignored_names(checkpoint: Checkpoint) -> set[str]:
    """Names of the tensors that the model does not load, on disk and as transformers would put them together."""
    family = checkpoint.family
    blocks = {name: block for name in checkpoint.ignored if (block := family.block_of(name)) is not None}
    inner = {f"{family.blocks_path}.{block}.{family.place_in_block(name).name}" for name, block in blocks.items()}
    others = {other for name in checkpoint.ignored if name not in blocks for other in family.possible_names(name)}
    return {*checkpoint.ignored, *inner, *others}


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise SpecError(f"there is no device {name!r} here", "Use --device cpu, or cuda where there is one") from None
    if device.type not in ("cpu", "cuda"):
        raise SpecError(f"lorp does not run on the device {name!r}", "Use --device cpu, or cuda where there is one")
    return device
