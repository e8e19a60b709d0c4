"""Blocks whose MLP is a number of experts, of which a router chooses some for each token.

On disk each map of an expert is a tensor of its own. The model holds those of all experts together: `gate_up_proj`,
experts x two halves of rows x inputs, and `down_proj`, experts x rows x inputs.
"""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a stored tensor is in the model.

    Attributes:
        name: Of the model's tensor.
        expert: Which expert's part of it; None for all of it.
        half: Which half of that expert's rows; None for all of them.
    """

    name: str
    expert: int | None = None
    half: int | None = None

    def shape(self, whole: tuple[int, ...]) -> tuple[int, ...] | None:
        """Of the part, given that of the model's tensor; None where that has no such part."""
        if self.expert is None:
            return whole
        if len(whole) != 3 or self.expert >= whole[0]:
            return None
        rows = whole[1] if self.half is None else whole[1] // 2
        return rows, whole[2]

    def part(self, whole: Any) -> Any:
        """The part of the model's tensor, as a view."""
        if self.expert is None:
            return whole
        of_expert = whole[self.expert]
        rows = len(of_expert) // 2
        return of_expert if self.half is None else of_expert[rows * self.half : rows * (self.half + 1)]


@dataclass(frozen=True, kw_only=True)
class Experts:
    """How such an MLP is built; paths and names begin in the block.

    Attributes:
        path: Of the module in the MLP's place: what it takes goes to router and experts, what it gives is their sum.
        stored_path: The same in the names of tensors on disk.
        stored_maps: Names on disk of an expert's maps: gate, up, down.
        router: Of the module that chooses; what it gives ends with the chosen experts' indices, tokens x choices.
        reads: Of further maps that take what the MLP takes.
        writes: Of further maps whose output is part of the sum, scaled or not.
    """

    path: str
    stored_path: str
    stored_maps: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    router: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @property
    def gate_up(self) -> str:
        """The model's tensor of all experts' gates and ups."""
        return f"{self.path}.experts.gate_up_proj"

    @property
    def down(self) -> str:
        """The model's tensor of all experts' downs."""
        return f"{self.path}.experts.down_proj"

    def place(self, stored_name: str) -> Place | None:
        """Where a tensor of a block is, by its name on disk within the block; None where it is not one of the MLP's."""
        prefix = f"{self.stored_path}."
        if not stored_name.startswith(prefix):
            return None
        inner = stored_name.removeprefix(prefix)
        names = "|".join(map(re.escape, self.stored_maps))
        found = re.fullmatch(rf"experts\.(\d{{1,18}})\.({names})\.weight", inner)
        if not found:
            return Place(name=f"{self.path}.{inner}")
        expert, which = int(found[1]), self.stored_maps.index(found[2])
        down = which == len(self.stored_maps) - 1
        return Place(name=self.down, expert=expert) if down else Place(name=self.gate_up, expert=expert, half=which)
