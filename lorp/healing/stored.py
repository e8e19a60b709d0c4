"""Weights as a checkpoint stores them, changed in a loaded model for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors import safe_open
from torch import nn

from lorp.architectures.experts import Place
from lorp.checkpoint import Checkpoint
from lorp.errors import HealingError
from lorp.healing.overlay import Overlay, overlay

_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


class StoredWeights:
    """New values of a checkpoint's tensors, which a loaded model computes with as long as this is open.

    Attributes:
        changed: New tensors by their names on disk, in the dtype that is stored there.
    """

    def __init__(self, checkpoint: Checkpoint, values: Overlay) -> None:
        self._checkpoint, self._values = checkpoint, values
        family = checkpoint.family
        blocks = {name: block for name in checkpoint.tensors if (block := family.block_of(name)) is not None}
        self._names = {(block, family.place_in_block(name)): name for name, block in blocks.items()}
        self.changed: dict[str, torch.Tensor] = {}

    def get(self, block: int, place: Place) -> torch.Tensor:
        """A block's tensor as it stands: changed, or as stored."""
        name = self._names[block, place]
        if name in self.changed:
            return self.changed[name]
        with safe_open(self._checkpoint.tensors[name].path, framework="pt") as file:
            stored: torch.Tensor = file.get_tensor(name)
            return stored

    def put(self, block: int, place: Place, module: nn.Module, value: torch.Tensor) -> None:
        """Changes a block's tensor to a value, rounded as it is stored, and the block's parameter that holds it.

        Raises:
            HealingError: The value is too large for the dtype that is stored.
        """
        name = self._names[block, place]
        rounded = value.to(_DTYPES[self._checkpoint.tensors[name].dtype]).cpu()
        if not torch.isfinite(rounded).all():
            raise HealingError(f"new weights are too large for {rounded.dtype} in {name}", "Use --heal none")
        self.changed[name] = rounded
        self._values.put(module.get_parameter(place.name), place, rounded)


@contextmanager
def stored_weights(checkpoint: Checkpoint) -> Iterator[StoredWeights]:
    """A checkpoint's weights; what was changed in models is as before once this closes."""
    with overlay() as values:
        yield StoredWeights(checkpoint, values)
