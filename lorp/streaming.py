"""A model larger than memory: a block's weights are read when it runs, and let go when it has run.

Everything but the blocks is loaded as always. Whoever runs many windows through a block holds it meanwhile, so that it
is read once for all of them.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel

from lorp.architectures.experts import Place
from lorp.checkpoint import Checkpoint
from lorp.errors import SpecError
from lorp.safetensors_file import Tensor

_ATTRIBUTE = "streamed"


@dataclass(frozen=True)
class Part:
    """A stored tensor, and where in the model's tensor it belongs."""

    place: Place
    stored: Tensor


class StreamedBlock:
    """One block's weights.

    Args:
        parameters: Those of the block, and what of them is stored.
        device: Where they go.
    """

    def __init__(self, parameters: Iterable[tuple[nn.Parameter, list[Part]]], device: torch.device) -> None:
        self._parameters = list(parameters)
        self._device = device
        self._holders = 0
        self._changes: dict[int, list[tuple[Place, torch.Tensor]]] = defaultdict(list)
        for parameter, _ in self._parameters:
            setattr(parameter, _ATTRIBUTE, self)

    @contextmanager
    def held(self) -> Iterator[None]:
        """While open, the weights are in memory."""
        if not self._holders:
            self._load()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._drop()

    def change(self, parameter: nn.Parameter, place: Place, value: torch.Tensor) -> None:
        """Gives a parameter, or a part of it, another value, now and whenever it is read again."""
        self._changes[id(parameter)].append((place, value))
        if self._holders:
            _put(parameter, place, value)

    def restore(self, parameter: nn.Parameter) -> None:
        """Forgets what it was changed to."""
        self._changes.pop(id(parameter), None)
        if self._holders:
            self._load()

    def _load(self) -> None:
        with ExitStack() as files:
            opened: dict[Path, Any] = {}
            for parameter, parts in self._parameters:
                whole = torch.empty(parameter.shape, dtype=parameter.dtype, device=self._device)
                for part in parts:
                    path = part.stored.path
                    if path not in opened:
                        opened[path] = files.enter_context(safe_open(path, framework="pt"))
                    part.place.part(whole).copy_(opened[path].get_tensor(part.stored.name))
                parameter.data = whole
                for place, value in self._changes.get(id(parameter), ()):
                    _put(parameter, place, value)

    def _drop(self) -> None:
        for parameter, _ in self._parameters:
            parameter.data = absent(parameter.shape, parameter.dtype, self._device)


def check_streamable(checkpoint: Checkpoint) -> None:
    """Refuses weights that stand for others: a block's parameters are read as they are stored.

    Raises:
        SpecError: They are quantised.
    """
    if checkpoint.quantization:
        raise SpecError("its weights are quantised, which cannot be streamed", "Use --capture-mode memory")


def held(block: nn.Module) -> AbstractContextManager[None]:
    """While open, a block's weights are in memory; those of a model that is loaded as a whole are there anyway."""
    streamed: StreamedBlock | None = getattr(block, _ATTRIBUTE, None)
    return streamed.held() if streamed else nullcontext()


def streamed_block_of(parameter: nn.Parameter) -> StreamedBlock | None:
    """The block that a parameter is streamed with; None where it is loaded as always."""
    return getattr(parameter, _ATTRIBUTE, None)


def absent(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Stands in for weights that are not there: of their shape, and of one number."""
    return torch.zeros((), dtype=dtype, device=device).expand(shape)


def fill(model: PreTrainedModel, checkpoint: Checkpoint, device: torch.device) -> None:
    """Gives a model without weights those of a checkpoint, and makes its blocks read theirs when they run.

    Args:
        model: Built on the meta device, but for buffers that are not stored.
        checkpoint: A sound one of that model.
        device: Where weights go.
    """
    parts, dtype_of = _parts(model, checkpoint), _dtypes(model)
    paths = tuple(f"{family.blocks_path}." for family in checkpoint.stacks)
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if name in parts and not name.startswith(paths):
            _set(model, name, _whole(parameter.shape, dtype_of(name, parameter), parts[name], device))
        else:
            _set(model, name, absent(parameter.shape, dtype_of(name, parameter), device))
    model.tie_weights(missing_keys=set(model.state_dict()) - set(parts), recompute_mapping=False)
    for name, buffer in list(model.named_buffers()):
        stored = _whole(buffer.shape, dtype_of(name, buffer), parts[name], device) if name in parts else None
        _set(model, name, buffer.to(device) if stored is None else stored)
    for path in paths:
        blocks: Any = model.get_submodule(path.removesuffix("."))
        for index, block in enumerate(blocks):
            own = [(parameter, parts[f"{path}{index}.{name}"]) for name, parameter in block.named_parameters()]
            _stream(block, StreamedBlock(own, device))


def _stream(block: nn.Module, weights: StreamedBlock) -> None:
    setattr(block, _ATTRIBUTE, weights)
    block.forward = partial(_run, weights, block.forward)


def _run(weights: StreamedBlock, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with weights.held():
        return forward(*args, **kwargs)


def _parts(model: nn.Module, checkpoint: Checkpoint) -> Mapping[str, list[Part]]:
    """What is stored of each of the model's tensors."""
    names = model.state_dict().keys()
    parts: dict[str, list[Part]] = defaultdict(list)
    for stored in checkpoint.tensors.values():
        place = checkpoint.family.place_of(stored.name, names)
        assert place
        parts[place.name].append(Part(place, stored))
    return parts


def _dtypes(model: PreTrainedModel) -> Callable[[str, torch.Tensor], torch.dtype]:
    """What each tensor is kept in: some stay in float32 whatever is asked for."""
    plan: Mapping[str, torch.dtype] = model._get_dtype_plan(model.dtype)
    kept = [(re.compile(rf"(^|\.){name.replace('*', '.*')}($|\.)"), dtype) for name, dtype in plan.items()]

    def dtype_of(name: str, tensor: torch.Tensor) -> torch.dtype:
        return next((dtype for pattern, dtype in kept if pattern.search(name)), tensor.dtype)

    return dtype_of


def _whole(shape: torch.Size, dtype: torch.dtype, parts: list[Part], device: torch.device) -> torch.Tensor:
    whole = torch.empty(shape, dtype=dtype, device=device)
    for part in parts:
        with safe_open(part.stored.path, framework="pt") as file:
            part.place.part(whole).copy_(file.get_tensor(part.stored.name))
    return whole


def _put(parameter: nn.Parameter, place: Place, value: torch.Tensor) -> None:
    if place.expert is None:
        parameter.data = value.to(device=parameter.device, dtype=parameter.dtype)
    else:
        place.part(parameter.data).copy_(value)


def _set(model: nn.Module, name: str, value: torch.Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf in module._parameters:
        module._parameters[leaf] = nn.Parameter(value, requires_grad=False)
    else:
        module._buffers[leaf] = value
