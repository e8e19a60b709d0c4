"""Weights as a checkpoint stores them, changed in a loaded model for a while."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from safetensors import safe_open
from torch import nn

from lorp.checkpoint import Checkpoint
from lorp.errors import HealingError


class StoredWeights:
    """New values of a checkpoint's tensors, which a loaded model computes with as long as this is open.

    Attributes:
        changed: New tensors by their names on disk, in the dtype that is stored there.
    """

    def __init__(self, checkpoint: Checkpoint, restore: ExitStack) -> None:
        self._checkpoint, self._restore = checkpoint, restore
        self.changed: dict[str, torch.Tensor] = {}

    def get(self, block: int, path: str) -> torch.Tensor:
        """A block's tensor as it stands: changed, or as stored; `path` is `mlp.down_proj.weight` say."""
        name = self._name(block, path)
        if name in self.changed:
            return self.changed[name]
        with safe_open(self._checkpoint.tensors[name].path, framework="pt") as file:
            stored: torch.Tensor = file.get_tensor(name)
            return stored

    def put(self, block: int, path: str, parameter: nn.Parameter, value: torch.Tensor) -> None:
        """Changes a block's tensor to a value, rounded as it is stored, and the parameter that holds it.

        Raises:
            HealingError: The value is too large for the dtype that is stored.
        """
        name = self._name(block, path)
        rounded = value.to(self.get(block, path).dtype).cpu()
        if not torch.isfinite(rounded).all():
            raise HealingError(f"new weights are too large for {rounded.dtype} in {name}", "Use --heal none")
        if name not in self.changed:
            self._restore.callback(setattr, parameter, "data", parameter.data)
        self.changed[name] = rounded
        parameter.data = self.changed[name].to(device=parameter.device, dtype=parameter.dtype)

    def _name(self, block: int, path: str) -> str:
        names, family = self._checkpoint.tensors, self._checkpoint.family
        return next(name for name in names if name.endswith(f".{path}") and family.block_of(name) == block)


@contextmanager
def stored_weights(checkpoint: Checkpoint) -> Iterator[StoredWeights]:
    """A checkpoint's weights; what was changed in models is as before once this closes."""
    with ExitStack() as restore:
        yield StoredWeights(checkpoint, restore)
