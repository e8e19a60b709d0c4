"""New weights <-> a safetensors file of them: with checkpoint and plan, all that a healed variant is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from lorp.healing.repair import SiteRepair
from lorp.safetensors_file import Tensor, read_tensors


@dataclass(frozen=True, kw_only=True)
class Patch:
    """How a plan was healed.

    Attributes:
        method: What was fitted; `none` where nothing was.
        reason: Why it is another method than was asked for; empty otherwise.
        repairs: What was done, site by site.
    """

    method: str
    reason: str = ""
    repairs: tuple[SiteRepair, ...] = ()


def encode_weights(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The tensors as a safetensors file; equal tensors have equal bytes."""
    return save({name: tensors[name].contiguous() for name in sorted(tensors)})


def open_weights(path: Path) -> tuple[Tensor, ...]:
    """The tensors in a file that `encode_weights` wrote.

    Raises:
        SourceError: It is no sound safetensors file.
    """
    return read_tensors(path)
