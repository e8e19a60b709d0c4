"""Other values in a loaded model's parameters for a while."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from lorp.architectures.experts import Place
from lorp.streaming import streamed_block_of


class Overlay:
    """Parameters with other values, which are as before once this closes."""

    def __init__(self, restore: ExitStack) -> None:
        self._restore = restore
        self._changed: set[int] = set()

    def put(self, parameter: nn.Parameter, place: Place, value: torch.Tensor) -> None:
        """Changes a parameter, or that part of it which the place says, to a value of that shape."""
        first = id(parameter) not in self._changed
        if block := streamed_block_of(parameter):
            if first:
                self._restore.callback(block.restore, parameter)
                self._changed.add(id(parameter))
            block.change(parameter, place, value)
            return
        if first:
            self._restore.callback(setattr, parameter, "data", parameter.data)
            self._changed.add(id(parameter))
        if place.expert is None:
            parameter.data = value.to(device=parameter.device, dtype=parameter.dtype)
            return
        if first:
            parameter.data = parameter.data.clone()
        place.part(parameter.data).copy_(value)


@contextmanager
def overlay() -> Iterator[Overlay]:
    """While open, parameters may have other values."""
    with ExitStack() as restore:
        yield Overlay(restore)
