"""The linear maps of a block that healing may change, and how a fitted map is folded into their weights.

Shapes: T tokens, F inputs of a map (one more, a column of ones, where it has a bias), D its outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from lorp.architectures.family import Projections
from lorp.errors import HealingError

SiteName = Literal["attention_read", "attention_write", "mlp_read", "mlp_write"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Maps that are changed together.

    Attributes:
        name: What they are for in the block.
        paths: Of their modules; several read the same input.
        transposed: Whether their weights are inputs x outputs.
    """

    name: SiteName
    paths: tuple[str, ...]
    transposed: bool

    @property
    def reads(self) -> bool:
        """Whether it is the maps' input that is mended, and not their output."""
        return self.name in ("attention_read", "mlp_read")


@dataclass(frozen=True)
class Seen:
    """What a site's first map took and gave, T x F and T x D over the tokens of all windows of a pass."""

    taken: torch.Tensor
    given: torch.Tensor


class _Enough(Exception):
    """What was looked for has passed; the rest of the block need not run."""


def sites_of(projections: Projections, writes: bool) -> tuple[Site, ...]:
    """A block's sites in the order in which they run; only those that read, unless `writes`."""
    paths: Sequence[tuple[SiteName, tuple[str, ...]]] = (
        ("attention_read", projections.attention_reads),
        ("attention_write", () if projections.parallel else (projections.attention_write,)),
        ("mlp_read", projections.mlp_reads),
        ("mlp_write", (projections.mlp_write,)),
    )
    sites = [Site(name=name, paths=modules, transposed=projections.transposed) for name, modules in paths if modules]
    return tuple(site for site in sites if site.reads or writes)


def look(block: nn.Module, sites: Sequence[Site], run: Callable[[], Any], to_the_end: bool = False) -> list[Seen]:
    """Runs a block on windows, no further than the last of the sites unless `to_the_end`; what passed each of them.

    Raises:
        HealingError: With its config, a map is computed without its module.
    """
    seen: list[Seen] = []

    def note(_module: nn.Module, taken: tuple[torch.Tensor, ...], given: torch.Tensor) -> None:
        # A copy: some blocks add to what a map gave in place.
        seen.append(Seen(taken[0].flatten(0, -2), given.flatten(0, -2).clone()))
        if len(seen) == len(sites) and not to_the_end:
            raise _Enough

    hooks = [block.get_submodule(site.paths[0]).register_forward_hook(note) for site in sites]
    try:
        run()
    except _Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    if len(seen) < len(sites):
        raise HealingError(
            "its blocks compute their maps piece by piece, where nothing can be fitted", "Use --heal none"
        )
    return seen


def has_bias(block: nn.Module, site: Site) -> bool:
    """Whether each of a site's maps has a bias, so that a constant can be folded in."""
    return all(getattr(block.get_submodule(path), "bias", None) is not None for path in site.paths)


def with_ones(inputs_TF: torch.Tensor) -> torch.Tensor:
    """Inputs with a last column of ones."""
    return nn.functional.pad(inputs_TF, (0, 1), value=1.0)


def folded(site: Site, weight: torch.Tensor, bias: torch.Tensor | None, map_FD: torch.Tensor) -> list[torch.Tensor]:
    """New weight, and bias where there is one and the map has a constant, in float64.

    A map of what is read is applied before the old weights, `x -> x + x M`; one of what is written beside them.

    Args:
        site: Where.
        weight: As stored.
        bias: As stored.
        map_FD: float64.
    """
    weight_OI = (weight.T if site.transposed else weight).double()
    num_inputs = weight_OI.shape[1]
    change_OI = map_FD[:num_inputs].T
    new_OI = weight_OI + (weight_OI @ change_OI if site.reads else change_OI)
    new = [(new_OI.T if site.transposed else new_OI).contiguous()]
    if bias is not None and len(map_FD) > num_inputs:
        constant = map_FD[num_inputs]
        new.append(bias.double() + (weight_OI @ constant if site.reads else constant))
    return new


def folded_after(
    site: Site, weight: torch.Tensor, bias: torch.Tensor | None, map_DD: torch.Tensor
) -> list[torch.Tensor]:
    """New weight and bias, in float64, of a map whose output `y` becomes `y + y M`."""
    weight_OI = (weight.T if site.transposed else weight).double()
    new_OI = weight_OI + map_DD.T @ weight_OI
    new = [(new_OI.T if site.transposed else new_OI).contiguous()]
    return new if bias is None else [*new, bias.double() + map_DD.T @ bias.double()]
