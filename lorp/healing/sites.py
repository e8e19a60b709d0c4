"""The linear maps of a block that healing may change, and how a fitted map is folded into their weights.

Shapes: T tokens, F inputs of a map (one more, a column of ones, where it has a bias), D its outputs.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from lorp.architectures.experts import Experts, Place
from lorp.architectures.family import Projections
from lorp.errors import HealingError

SiteName = Literal["attention_read", "attention_write", "mlp_read", "mlp_write"]


@dataclass(frozen=True, kw_only=True)
class Map:
    """One linear map.

    Attributes:
        weight: Where in the block.
        bias: The same; None where it has none.
    """

    weight: Place
    bias: Place | None


@dataclass(frozen=True, kw_only=True)
class Site:
    """Maps that are changed together.

    Attributes:
        name: What they are for in the block.
        path: Of the module that takes what they take, and gives what they give, or all of them together.
        maps: Several read the same input, or write parts of one sum.
        transposed: Whether their weights are inputs x outputs.
        summed: Whether they write parts of one sum, so that it is the sum that a map is fitted to.
    """

    name: SiteName
    path: str
    maps: tuple[Map, ...]
    transposed: bool = False
    summed: bool = False

    @property
    def reads(self) -> bool:
        """Whether it is the maps' input that is mended, and not their output."""
        return self.name in ("attention_read", "mlp_read")

    @property
    def biased(self) -> bool:
        """Whether each map has a bias, so that a constant can be folded in."""
        return all(entry.bias for entry in self.maps)


@dataclass(frozen=True)
class Seen:
    """What a site took and gave, T x F and T x D over the tokens of all windows of a pass."""

    taken: torch.Tensor
    given: torch.Tensor


class _Enough(Exception):
    """What was looked for has passed; the rest of the block need not run."""


def sites_of(projections: Projections, block: nn.Module, writes: bool) -> tuple[Site, ...]:
    """A block's sites in the order in which they run; only those that read, unless `writes`."""
    paths = {path for path, _ in block.named_modules()}
    attention = [path for path in projections.attention_reads if path in paths]
    sites = [_site("attention_read", block, attention, projections.transposed)]
    if not projections.parallel:
        sites.append(_attention_write(projections, block))
    if experts := _experts_in(projections, paths):
        sites.append(_expert_reads(experts, block))
    else:
        reads = [path for path in projections.mlp_reads if path in paths]
        sites.append(_site("mlp_read", block, reads, projections.transposed))
    sites.append(mlp_write_of(projections, block))
    return tuple(site for site in sites if site.reads or writes)


def mlp_write_of(projections: Projections, block: nn.Module) -> Site:
    """The site whose output a block adds last."""
    if experts := _experts_in(projections, {path for path, _ in block.named_modules()}):
        downs = [Place(name=experts.down, expert=expert) for expert in _experts(experts, block)]
        maps = (*(Map(weight=down, bias=None) for down in downs), *_maps(block, experts.writes))
        return Site(name="mlp_write", path=experts.path, maps=maps, summed=True)
    return _site("mlp_write", block, (projections.mlp_write,), projections.transposed)


def writes_of(projections: Projections, block: nn.Module) -> tuple[Map, ...]:
    """The maps whose output is added to the state."""
    return (*_attention_write(projections, block).maps, *mlp_write_of(projections, block).maps)


def _attention_write(projections: Projections, block: nn.Module) -> Site:
    return _site("attention_write", block, (projections.attention_write,), projections.transposed)


def _expert_reads(experts: Experts, block: nn.Module) -> Site:
    places = [
        Place(name=experts.gate_up, expert=expert, half=half) for expert in _experts(experts, block) for half in (0, 1)
    ]
    maps = (*(Map(weight=place, bias=None) for place in places), *_maps(block, (experts.router, *experts.reads)))
    return Site(name="mlp_read", path=experts.path, maps=maps)


def _experts_in(projections: Projections, paths: Container[str]) -> Experts | None:
    """What is known of a block's experts, if it has any."""
    experts = projections.experts
    return experts if experts and experts.router in paths else None


def _experts(experts: Experts, block: nn.Module) -> range:
    return range(len(block.get_parameter(experts.down)))


def _site(name: SiteName, block: nn.Module, paths: Sequence[str], transposed: bool) -> Site:
    return Site(name=name, path=paths[0], maps=_maps(block, paths), transposed=transposed)


def _maps(block: nn.Module, paths: Sequence[str]) -> tuple[Map, ...]:
    return tuple(
        Map(
            weight=Place(name=f"{path}.weight"),
            bias=None if getattr(block.get_submodule(path), "bias", None) is None else Place(name=f"{path}.bias"),
        )
        for path in paths
    )


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

    hooks = [block.get_submodule(site.path).register_forward_hook(note) for site in sites]
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
