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

from lorp.checkpoint import open_checkpoint
from lorp.errors import IntegrityError, SourceError, SpecError, first_line
from lorp.loading import from_pretrained, load_quantized, loading_fault
from lorp.spec import ComputeSpec
from lorp.streaming import check_streamable, fill

#: What a config may ask a model to give besides logits, at the cost of memory.
_EXTRA_OUTPUTS = ("output_router_logits", "output_hidden_states", "output_attentions")

#: What transformers raises for settings that are not what they should be; a machine's own failures are not among it.
_REFUSED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_model(folder: Path, compute: ComputeSpec) -> PreTrainedModel:
    """A checkpoint's model, ready for inference.

    Raises:
        SpecError: The device is not there.
        SourceError: Its weights are quantised, and that does not run here.
        IntegrityError: Keys are missing, of another shape, or unexpected beyond those known to be ignored.
    """
    checkpoint, device = open_checkpoint(folder), _device(compute.device)
    if checkpoint.quantization:
        return _ready(load_quantized(checkpoint, checkpoint.quantization, compute.dtype, device), folder)
    try:
        model, loading = from_pretrained(checkpoint, dtype=getattr(torch, compute.dtype))
    except _REFUSED as refused:  # what generation settings hold is first looked at here
        raise SourceError(f"its model cannot be loaded: {first_line(refused)}", "Fetch the checkpoint again") from None
    if fault := loading_fault(checkpoint, loading):
        raise IntegrityError(f"{folder} loads with {fault}", "Report this")
    return _ready(model.to(device), folder)


def stream_model(folder: Path, compute: ComputeSpec) -> PreTrainedModel:
    """A checkpoint's model whose blocks are read from disk when they run, ready for inference.

    Raises:
        SpecError: The device is not there, or its weights are quantised.
        SourceError: It is no sound checkpoint.
    """
    checkpoint, device = open_checkpoint(folder), _device(compute.device)
    check_streamable(checkpoint)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    dtype = getattr(torch, compute.dtype)
    with init_empty_weights(include_buffers=False):
        model_class = getattr(transformers, checkpoint.family.model_class)
        model = model_class.from_config(config, dtype=dtype, trust_remote_code=False)
    fill(model, checkpoint, device)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return _ready(model, folder)


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


def _ready(model: Any, folder: Path) -> PreTrainedModel:
    """For inference; it knows where it comes from, as sounds and images are prepared by the settings that lie there."""
    model.name_or_path = str(folder)
    for config in (model.config, model.config.get_text_config()):
        for extra in _EXTRA_OUTPUTS:
            if getattr(config, extra, False):
                setattr(config, extra, False)
    ready: PreTrainedModel = model.requires_grad_(False).eval()
    return ready


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise SpecError(f"there is no device {name!r} here", "Use --device cpu, or cuda where there is one") from None
    if device.type not in ("cpu", "cuda"):
        raise SpecError(f"lorp does not run on the device {name!r}", "Use --device cpu, or cuda where there is one")
    return device
