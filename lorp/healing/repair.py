"""Dense model + plan -> new weights of kept blocks, in closed form, shallow to deep on the healed prefix.

Of each window only the states around one block are held, in the dense model and in the healed one; what a fit needs is
summed up in normal equations. Tokens weigh as the inverse of the norm of what they are to become, and none is left out:
the first of a window has a norm a hundred times that of the others, and would otherwise be all that is fitted, or be
moved at will.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from transformers import PreTrainedModel

from lorp.architectures.blocks import used_states_of
from lorp.architectures.experts import Place
from lorp.body import Body
from lorp.checkpoint import Checkpoint
from lorp.corpus.uses import HealingWindows
from lorp.errors import HealingError
from lorp.feeding import Feed, feeds
from lorp.healing.block import BlockHealer, ClosedForm, SiteRepair, Stream
from lorp.healing.magnitude import scale_writes
from lorp.healing.sites import sites_of
from lorp.healing.stored import StoredWeights, stored_weights
from lorp.plan import PruningPlan
from lorp.progress import track

Healing = Literal["linear", "refit", "magnitude"]


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """New weights, and how they were found.

    Attributes:
        repairs: By site, in the order they were made.
        tensors: By name on disk, in the dtype that is stored there.
    """

    repairs: tuple[SiteRepair, ...]
    tensors: dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where every kind of healing begins: up to there the healed model is the dense one.

    Attributes:
        body: The dense model's.
        block: The kept block before the first gap.
        feeds: What the model is given, pass by pass.
        states: What enters the block, B x T x D a pass.
        fits: Whether maps are fitted on a pass, or ridges chosen.
    """

    body: Body
    block: int
    feeds: tuple[Feed, ...]
    states: tuple[torch.Tensor, ...]
    fits: tuple[bool, ...]

    def streams(self) -> list[Stream]:
        """The states, to be taken further."""
        return [
            Stream(feed=feed, fits=fits, dense=state_BTD, healed=state_BTD)
            for feed, fits, state_BTD in zip(self.feeds, self.fits, self.states, strict=True)
        ]


def start(model: PreTrainedModel, checkpoint: Checkpoint, plan: PruningPlan, windows: HealingWindows) -> Start:
    """Runs the windows through the blocks that no healing changes."""
    body, first = Body(model, checkpoint.family), max(plan.removed[0] - 1, 0)
    fitted, chosen = feeds(windows.fit.windows, model), feeds(windows.ridge.windows, model)
    passes = (*fitted, *chosen)
    with torch.inference_mode():
        states = [body.embedded(feed) for feed in passes]
        for block in range(first):
            states = body.step_all(block, states, passes)
    fits = (*[True] * len(fitted), *[False] * len(chosen))
    return Start(body=body, block=first, feeds=passes, states=tuple(states), fits=fits)


def repair(
    model: PreTrainedModel, checkpoint: Checkpoint, plan: PruningPlan, windows: HealingWindows, method: Healing
) -> Repaired:
    """Starts, then heals. Arguments and errors are those of `start` and `repair_from`."""
    check_healing(checkpoint, method)
    return repair_from(start(model, checkpoint, plan, windows), checkpoint, plan, method)


def repair_from(begun: Start, checkpoint: Checkpoint, plan: PruningPlan, method: Healing) -> Repaired:
    """Fits kept blocks to the dense model's states; the model is as before afterwards.

    `linear` (ReplaceMe): before each gap, the MLP's output M becomes `M + M X`, as close as it comes to the state that
    the block after the gap had in the dense model. `refit`: from the first gap on, what attention and MLP read is
    mapped to what they read in the dense model, and what they write makes up for what is missing by then. `magnitude`
    (Prune&Comp): what blocks after a gap write is scaled, and nothing is fitted. Nothing is fitted to a state past the
    last that is used.

    Args:
        begun: States of the dense model on what is fitted on, and on what the ridge is chosen.
        checkpoint: Where the model's weights are stored.
        plan: Which blocks are removed.
        method: What is fitted.

    Raises:
        HealingError: Its blocks cannot be healed so; states or new weights are not finite.
    """
    check_healing(checkpoint, method)
    projections = checkpoint.family.projections
    with torch.inference_mode(), stored_weights(checkpoint) as weights:
        if method == "magnitude":
            repairs = scale_writes(begun.body, weights, begun.states, begun.feeds, begun.block, plan, projections)
        else:
            repairs = _fit(begun, checkpoint, plan, weights, method)
    return Repaired(repairs=tuple(repairs), tensors=weights.changed)


def check_healing(checkpoint: Checkpoint, method: Healing) -> None:
    """Refuses what a checkpoint's blocks do not allow.

    Raises:
        HealingError: With the reason.
    """
    if checkpoint.quantization:
        raise HealingError(
            "its weights are quantised, and a fitted map has no place in them",
            "Use --heal none, or dequantise the checkpoint first",
        )
    if stores_experts_together(checkpoint):
        raise HealingError("its experts are stored together, where none can be healed", "Use --heal none")
    if method != "refit" and not checkpoint.family.projections.writes_freely(checkpoint.settings):
        raise HealingError(
            f"{method} healing cannot be folded into {checkpoint.family.name}: a norm follows what its blocks write",
            "Use --heal refit, which changes what blocks read, or --heal none",
        )


def stores_experts_together(checkpoint: Checkpoint) -> bool:
    """Whether the experts of a block are one tensor, and not one each."""
    family, experts = checkpoint.family, checkpoint.family.projections.experts
    together = experts and Place(name=experts.down)
    in_blocks = (name for name in checkpoint.tensors if family.block_of(name) is not None)
    return together is not None and any(family.place_in_block(name) == together for name in in_blocks)


def can_mend(checkpoint: Checkpoint) -> bool:
    """Whether what its blocks write can be refitted."""
    free = checkpoint.family.projections.writes_freely(checkpoint.settings)
    return free and checkpoint.quantization is None and not stores_experts_together(checkpoint)


def _fit(
    begun: Start, checkpoint: Checkpoint, plan: PruningPlan, weights: StoredWeights, method: ClosedForm
) -> list[SiteRepair]:
    projections = checkpoint.family.projections
    writes, scale = projections.writes_freely(checkpoint.settings), projections.scale(checkpoint.settings)
    streams, used = begun.streams(), max(used_states_of(checkpoint.family, checkpoint.config, plan.num_blocks))
    kept = [block for block in plan.kept if begun.block <= block < used]
    repairs: list[SiteRepair] = []
    for block, following in track(list(pairwise((*kept, used))), f"heal ({method})"):
        after_gap, at_gap = plan.removed[0] < block, following > block + 1
        sites = sites_of(projections, begun.body.blocks[block], writes)
        healed = [site for site in sites if (at_gap and site.name == "mlp_write") or (after_gap and method == "refit")]
        differs = after_gap or at_gap
        with begun.body.held(block):
            healer = BlockHealer(begun.body, weights, streams, block, following, healed, differs=differs, scale=scale)
            repairs.extend(healer.heal(site, method) for site in healed)
            if method == "linear" and following > plan.removed[-1]:
                break
            healer.leave()
    return repairs
