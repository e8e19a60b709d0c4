"""Dense model + plan -> new weights of kept blocks, in closed form, shallow to deep on the healed prefix.

Of each window only two states are held, one of the dense model and one of the healed; what a fit needs is summed up in
normal equations. Tokens weigh as the inverse of the norm of what they are to become, and none is left out: the first of
a window has a norm a hundred times that of the others, and would otherwise be all that is fitted, or be moved at will.

Shapes: T tokens a window, D hidden size.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from lorp.body import Body
from lorp.checkpoint import Checkpoint
from lorp.corpus.uses import HealingWindows
from lorp.errors import HealingError
from lorp.healing.normal_equations import NormalEquations, no_tokens
from lorp.healing.sites import Seen, Site, folded, folded_after, has_bias, look, sites_of, with_ones
from lorp.healing.stored import StoredWeights, stored_weights
from lorp.plan import PruningPlan
from lorp.progress import track

RIDGES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)

ClosedForm = Literal["linear", "refit"]


@dataclass(frozen=True, kw_only=True)
class SiteRepair:
    """What was done at one site.

    Attributes:
        block: Index in the dense model.
        site: Which of its maps.
        ridge: Chosen on windows of their own; None where no map did better than none.
        error: What is left there of the squared error that was to be mended, as a share.
    """

    block: int
    site: str
    ridge: float | None
    error: float


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """New weights, and how they were found.

    Attributes:
        repairs: By site, in the order they were made.
        tensors: By name on disk, in the dtype that is stored there.
    """

    repairs: tuple[SiteRepair, ...]
    tensors: dict[str, torch.Tensor]


@dataclass
class _Stream:
    """One window's state in the dense model and in the healed one, 1 x T x D."""

    fits: bool
    dense: torch.Tensor
    healed: torch.Tensor


def repair(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    plan: PruningPlan,
    windows: HealingWindows,
    method: ClosedForm,
) -> Repaired:
    """Fits kept blocks to the dense model's states; the model is as before afterwards.

    `linear` (ReplaceMe): before each gap, the MLP's output M becomes `M + M X`, as close as it comes to the state that
    the block after the gap had in the dense model. `refit`: from the first gap on, what attention and MLP read is
    mapped to what they read in the dense model, and what they write makes up for what is missing by then.

    Args:
        model: The dense model.
        checkpoint: Where its weights are stored.
        plan: Which blocks are removed.
        windows: What is fitted on, and on what the ridge is chosen.
        method: What is fitted.

    Raises:
        HealingError: Its blocks cannot be healed so; states or new weights are not finite.
    """
    check_healing(checkpoint, method)
    body = Body(model, checkpoint.family)
    sites = sites_of(checkpoint.family.projections, checkpoint.family.projections.writes_freely(checkpoint.config))
    repairs: list[SiteRepair] = []
    with torch.inference_mode(), stored_weights(checkpoint) as weights:
        streams = [_Stream(fits, *[body.embedded(tokens)] * 2) for fits, tokens in _tokens(windows, body.device)]
        for block, following in track(list(pairwise((*plan.kept, plan.num_blocks))), f"heal ({method})"):
            after_gap, at_gap = plan.removed[0] < block, following > block + 1
            healer = _BlockHealer(body, weights, streams, block, following, prefix_changed=after_gap)
            for site in sites:
                if (at_gap and site.name == "mlp_write") or (after_gap and method == "refit"):
                    repairs.append(healer.heal(site, method))
            healer.leave()
    return Repaired(repairs=tuple(repairs), tensors=weights.changed)


def check_healing(checkpoint: Checkpoint, method: ClosedForm) -> None:
    """Refuses what a checkpoint's blocks do not allow.

    Raises:
        HealingError: With the reason.
    """
    if method == "linear" and not checkpoint.family.projections.writes_freely(checkpoint.config):
        raise HealingError(
            f"linear healing cannot be folded into {checkpoint.family.name}: a norm follows what its MLP writes",
            "Use --heal refit, which changes what blocks read, or --heal none",
        )


def _tokens(windows: HealingWindows, device: torch.device) -> Iterator[tuple[bool, torch.Tensor]]:
    for fits, used in ((True, windows.fit), (False, windows.ridge)):
        for window in used.windows:
            yield fits, torch.tensor([window.tokens], device=device)


class _BlockHealer:
    """Heals one kept block, given the states that enter it.

    Args:
        body: The model's blocks, of which this one is changed.
        weights: Of the checkpoint.
        streams: A window each; afterwards they stand where the following kept block begins.
        block: Its index.
        following: Index of the next kept block, or N.
        prefix_changed: Whether both models differ before this block.
    """

    def __init__(
        self,
        body: Body,
        weights: StoredWeights,
        streams: list[_Stream],
        block: int,
        following: int,
        prefix_changed: bool,
    ) -> None:
        self._body, self._weights, self._streams = body, weights, streams
        self._block, self._following = block, following
        self._module: nn.Module = body.blocks[block]
        self._differs = prefix_changed or following > block + 1
        self._dense_module = copy.deepcopy(self._module) if self._differs else self._module

    def heal(self, site: Site, method: ClosedForm) -> SiteRepair:
        """Fits a site's maps and changes their weights, unless windows that no fit has seen come no closer."""
        fitted, chosen = (self._equations(site, method, fits) for fits in (True, False))
        tried = [(chosen.error(solved), ridge, solved) for ridge in RIDGES for solved in [fitted.solve(ridge)]]
        error, ridge, best = min(tried, key=lambda entry: entry[0])
        if not error < 1:
            return SiteRepair(block=self._block, site=site.name, ridge=None, error=1.0)
        self._change(site, folded_after if method == "linear" else folded, best)
        return SiteRepair(block=self._block, site=site.name, ridge=ridge, error=error)

    def leave(self) -> None:
        """Takes all windows to the following kept block, in both models."""
        for stream in self._streams:
            dense = self._dense_end(stream)
            stream.healed = self._body.step(self._block, stream.healed) if self._differs else dense
            stream.dense = dense

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

    def _pair(self, site: Site, method: ClosedForm, stream: _Stream) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the fitted map is given, what it is to give, and what the state is to become."""
        left: list[torch.Tensor] = []
        seen = look(
            self._module,
            site,
            lambda: left.append(self._body.step(self._block, stream.healed)),
            to_the_end=site.name == "mlp_write",
        )
        if site.reads:
            wanted_TD = self._dense_look(site, stream).taken
            have_TD = seen.taken
        elif site.name == "attention_write":
            wanted_TD = stream.dense[0] + self._dense_look(site, stream).given
            have_TD = stream.healed[0] + seen.given
        else:
            wanted_TD, have_TD = self._dense_end(stream)[0], left[0][0]
        inputs_TF = seen.given if method == "linear" else seen.taken
        if method == "refit" and has_bias(self._module, site):
            inputs_TF = with_ones(inputs_TF.float())
        return inputs_TF.float(), wanted_TD.float() - have_TD.float(), wanted_TD.float()

    def _dense_look(self, site: Site, stream: _Stream) -> Seen:
        return look(self._dense_module, site, lambda: self._body.step(self._block, stream.dense, self._dense_module))

    def _dense_end(self, stream: _Stream) -> torch.Tensor:
        """The dense model's state where the following kept block begins."""
        state = self._body.step(self._block, stream.dense, self._dense_module)
        for between in range(self._block + 1, self._following):
            state = self._body.step(between, state)
        return state

    def _change(self, site: Site, fold: Callable[..., list[torch.Tensor]], best: torch.Tensor) -> None:
        for path in site.paths:
            module = self._module.get_submodule(path)
            names = [name for name in ("weight", "bias") if getattr(module, name, None) is not None]
            stored = [self._weights.get(self._block, f"{path}.{name}").to(best.device) for name in names]
            new = fold(site, stored[0], stored[1] if len(stored) > 1 else None, best)
            for name, value in zip(names, new, strict=False):
                self._weights.put(self._block, f"{path}.{name}", getattr(module, name), value)
