"""One kept block, refitted: its maps take what they took in the dense model, and write what is missing by then.

Shapes: B windows that share a pass, T tokens over all of them, D hidden size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import nn

from lorp.body import Body
from lorp.errors import HealingError
from lorp.feeding import Feed
from lorp.healing.normal_equations import NormalEquations, no_tokens
from lorp.healing.sites import Seen, Site, SiteName, folded, folded_after, look, with_ones
from lorp.healing.stored import StoredWeights

RIDGES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)

ClosedForm = Literal["linear", "refit"]


@dataclass(frozen=True, kw_only=True)
class SiteRepair:
    """What was done at one site.

    Attributes:
        block: Index in the dense model.
        site: Which of its maps.
        ridge: Chosen on windows of their own; None where no map did better than none, or none was fitted.
        error: What is left there of the squared error that was to be mended, as a share; None if nothing was fitted.
        factor: By which weights were multiplied, if they were.
    """

    block: int
    site: str
    ridge: float | None
    error: float | None
    factor: float | None = None


@dataclass
class Stream:
    """The state of some windows in the dense model and in the healed one, B x tokens x D.

    Attributes:
        feed: What the model is given for them.
        fits: Whether maps are fitted on it, or ridges chosen.
        dense: Where the current block begins.
        healed: The same.
        passed: What passed the current block's sites in the dense model.
        dense_next: The dense model's state where the following kept block begins.
    """

    feed: Feed
    fits: bool
    dense: torch.Tensor
    healed: torch.Tensor
    passed: dict[SiteName, Seen] = field(default_factory=dict)
    dense_next: torch.Tensor = field(default_factory=lambda: torch.empty(0))


class BlockHealer:
    """Heals one kept block, given the states that enter it.

    Args:
        body: The model's blocks, of which this one is changed.
        weights: Of the checkpoint.
        streams: Afterwards they stand where the following kept block begins.
        block: Its index.
        following: Index of the next kept block, or N.
        sites: What is healed, in the order in which it runs.
        differs: Whether both models differ where the block begins, or once it is healed.
        scale: What the block writes is multiplied by this before it is added.
    """

    def __init__(
        self,
        body: Body,
        weights: StoredWeights,
        streams: list[Stream],
        block: int,
        following: int,
        sites: Sequence[Site],
        differs: bool,
        scale: float,
    ) -> None:
        self._body, self._weights, self._streams = body, weights, streams
        self._block, self._differs, self._scale = block, differs, scale
        self._module: nn.Module = body.blocks[block]
        self._note_dense(sites, following)

    def heal(self, site: Site, method: ClosedForm) -> SiteRepair:
        """Fits a site's maps and changes their weights, unless windows that no fit has seen come no closer."""
        fitted, chosen = (self._equations(site, method, fits) for fits in (True, False))
        tried = [(chosen.error(solved), ridge, solved) for ridge in RIDGES for solved in [fitted.solve(ridge)]]
        error, ridge, best = min(tried, key=lambda entry: entry[0])
        if not error < 1:
            return SiteRepair(block=self._block, site=site.name, ridge=None, error=1.0)
        self._change(site, folded_after if site.summed or method == "linear" else folded, best)
        return SiteRepair(block=self._block, site=site.name, ridge=ridge, error=error)

    def leave(self) -> None:
        """Takes all windows to the following kept block, in both models."""
        for stream in self._streams:
            stream.healed = self._step(stream, stream.healed) if self._differs else stream.dense_next
            stream.dense = stream.dense_next

    def _note_dense(self, sites: Sequence[Site], following: int) -> None:
        """Runs the dense model to the following kept block; the block must be as it was there."""
        states: list[torch.Tensor] = []
        for stream in self._streams:
            seen = look(self._module, sites, partial(self._run, stream, stream.dense, states), True)
            stream.passed = {site.name: passed for site, passed in zip(sites, seen, strict=True)}
        feeds = [stream.feed for stream in self._streams]
        for between in range(self._block + 1, following):
            states = self._body.step_all(between, states, feeds)
        for stream, state in zip(self._streams, states, strict=True):
            stream.dense_next = state

    def _step(self, stream: Stream, state_BTD: torch.Tensor) -> torch.Tensor:
        return self._body.step(self._block, state_BTD, stream.feed)

    def _run(self, stream: Stream, state_BTD: torch.Tensor, left: list[torch.Tensor]) -> None:
        left.append(self._step(stream, state_BTD))

    def _equations(self, site: Site, method: ClosedForm, fits: bool) -> NormalEquations:
        sums: NormalEquations | None = None
        for stream in self._streams:
            if stream.fits == fits:
                inputs_TF, missing_TD, wanted_TD = self._pair(site, method, stream)
                sums = sums or no_tokens(inputs_TF.shape[1], missing_TD.shape[1], self._body.device)
                sums.add(inputs_TF, missing_TD, 1 / torch.linalg.vector_norm(wanted_TD, dim=-1))
        assert sums
        if not sums.finite:
            raise HealingError(f"hidden states of block {self._block} are not finite", "Try --dtype float32")
        return sums

    def _pair(self, site: Site, method: ClosedForm, stream: Stream) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the fitted map is given, what it is to give, and what the state is to become."""
        left: list[torch.Tensor] = []
        [seen] = look(
            self._module,
            [site],
            partial(self._run, stream, stream.healed, left),
            to_the_end=site.name == "mlp_write",
        )
        dense = stream.passed[site.name]
        if site.reads:
            scale, wanted_TD, have_TD = 1.0, dense.taken, seen.taken
        elif site.name == "attention_write":
            scale, wanted_TD = self._scale, stream.dense.flatten(0, -2) + self._scale * dense.given
            have_TD = stream.healed.flatten(0, -2) + self._scale * seen.given
        else:
            scale, wanted_TD, have_TD = self._scale, stream.dense_next.flatten(0, -2), left[0].flatten(0, -2)
        after = site.summed or method == "linear"
        inputs_TF = seen.given if after else seen.taken
        if site.biased and not after:
            inputs_TF = with_ones(inputs_TF.float())
        return inputs_TF.float(), (wanted_TD.float() - have_TD.float()) / scale, wanted_TD.float()

    def _change(self, site: Site, fold: Callable[..., list[torch.Tensor]], best: torch.Tensor) -> None:
        for entry in site.maps:
            places = [place for place in (entry.weight, entry.bias) if place]
            stored = [self._weights.get(self._block, place).to(best.device) for place in places]
            new = fold(site, stored[0], stored[1] if len(stored) > 1 else None, best)
            for place, value in zip(places, new, strict=False):
                self._weights.put(self._block, place, self._module, value)
