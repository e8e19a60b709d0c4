"""Whether all weights of a checkpoint are numbers."""

from typing import Any

from lorp.checkpoint import Checkpoint
from lorp.errors import SourceError
from lorp.progress import track


def check_finite(checkpoint: Checkpoint) -> None:
    """Reads every weight, one tensor at a time.

    Raises:
        SourceError: A weight is NaN or infinite; names its tensor.
    """
    from safetensors import safe_open

    for shard in track(checkpoint.shards, "check weights"):
        with safe_open(checkpoint.folder / shard, framework="pt") as file:
            for name in sorted(checkpoint.tensors.keys() & file.keys()):
                if not _is_finite(file.get_tensor(name)):
                    raise SourceError(f"{name} in {shard} holds NaN or infinite weights", "Fetch the checkpoint again")


def _is_finite(tensor: Any) -> bool:
    """Of whatever dtype: integers always are, and floats of one byte are known by their bits."""
    import torch

    if not tensor.is_floating_point():
        return True
    if tensor.element_size() > 1:
        return bool(torch.isfinite(tensor).all())
    bits = tensor.view(torch.uint8)
    if tensor.dtype == torch.float8_e8m0fnu:
        return not bool((bits == 0xFF).any())
    largest = 0x7B if tensor.dtype == torch.float8_e5m2 else 0x7E
    return not bool(((bits & 0x7F) > largest).any())
