"""New weights <-> a safetensors file of them: with checkpoint and plan, all that a healed variant is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from lorp.disk import check_room, full_told
from lorp.healing.block import SiteRepair
from lorp.healing.choice import Attempt
from lorp.safetensors_file import Tensor, read_tensors

#: Name of the file.
WEIGHTS = "patch.safetensors"


@dataclass(frozen=True, kw_only=True)
class Patch:
    """How a plan was healed.

    Attributes:
        method: What was done; `none` where nothing that was tried made the plan cost less.
        repairs: How, site by site.
        attempts: What was tried, where that was left open.
        weights_sha256: Digest over the folder of new weights; None where there are none.
    """

    method: str
    repairs: tuple[SiteRepair, ...]
    attempts: tuple[Attempt, ...] = ()
    weights_sha256: str | None


def write_weights(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes the tensors; equal ones give equal bytes.

    Raises:
        SpaceError: They do not fit onto the disk.
    """
    check_room(path.parent, sum(tensor.nbytes for tensor in tensors.values()))
    with full_told(path.parent):
        save_file({name: tensors[name].contiguous() for name in sorted(tensors)}, path)


def open_weights(path: Path) -> tuple[Tensor, ...]:
    """The tensors in a file that `write_weights` wrote.

    Raises:
        SourceError: It is no sound safetensors file.
    """
    return read_tensors(path)
