"""What must be known of a family of models to cut blocks out of it: data, no behaviour of its own."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of decoder-only models whose blocks are one stack.

    Attributes:
        name: As people call it.
        model_types: `model_type` values of its configs.
        architectures: Class names that its configs may list.
        blocks_path: Path of the block list in the loaded model, `model.layers`; on disk, block `i`'s tensors are
            named `<blocks_path>.<i>.<rest>`.
        count_field: Config field that counts the blocks.
        per_block_fields: Config fields that, where present, hold a list with one entry a block.
    """

    name: str
    model_types: frozenset[str]
    architectures: frozenset[str]
    blocks_path: str
    count_field: str
    per_block_fields: tuple[str, ...] = ()

    def block_of(self, tensor_name: str) -> int | None:
        """Index of the block that a tensor on disk belongs to; None for embeddings, norms and heads."""
        match = re.match(rf"{re.escape(self.blocks_path)}\.(\d+)\.", tensor_name)
        return int(match[1]) if match else None

    def renumbered(self, tensor_name: str, block: int) -> str:
        """The name of a block's tensor once that block stands at another index."""
        head = len(self.blocks_path) + 1
        return f"{self.blocks_path}.{block}{tensor_name[tensor_name.index('.', head) :]}"
