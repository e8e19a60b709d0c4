"""Magnitude compensation (Prune&Comp, arXiv 2507.18212): states past a gap are as large as in the dense model.

Blocks make states larger. Without some of them what later blocks write would weigh too much, so it is scaled down by
how much larger the state would have become: the geometric mean over tokens of the norm's growth, which the few tokens
of huge norm do not decide. With norms before attention, MLP and head this is the same as scaling up all that comes
before, embeddings too, as the paper does; and it works where these are tied to the head.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from lorp.architectures.family import Projections
from lorp.body import Body
from lorp.errors import HealingError
from lorp.feeding import Feed
from lorp.healing.block import SiteRepair
from lorp.healing.sites import Map, writes_of
from lorp.healing.stored import StoredWeights
from lorp.plan import PruningPlan


def scale_writes(
    body: Body,
    weights: StoredWeights,
    states: Sequence[torch.Tensor],
    feeds: Sequence[Feed],
    first: int,
    plan: PruningPlan,
    projections: Projections,
) -> list[SiteRepair]:
    """Scales what blocks after each gap write.

    Args:
        body: The dense model's blocks.
        weights: Of the checkpoint, which are changed.
        states: Of the dense model on windows on which norms are measured, B x T x D a pass.
        feeds: What the model was given for them.
        first: The block that they enter, no deeper than the first gap.
        plan: Which blocks are removed.
        projections: Where a block's maps are.

    Raises:
        HealingError: States are not finite.
    """
    boundaries = range(first, plan.removed[-1] + 2)
    norms = {}
    num_tokens = sum(state[..., 0].numel() for state in states)
    for block in boundaries:
        norms[block] = sum(torch.linalg.vector_norm(state.double(), dim=-1).log().sum().item() for state in states)
        states = body.step_all(block, states, feeds) if block < boundaries[-1] else states
    factor, repairs = 1.0, []
    for block in range(plan.num_blocks):
        if block in plan.removed:
            factor /= math.exp((norms[block + 1] - norms[block]) / num_tokens)
        elif factor != 1.0:
            with body.held(block):
                _scale(body.blocks[block], weights, block, writes_of(projections, body.blocks[block]), factor)
            repairs.append(SiteRepair(block=block, site="writes", ridge=None, error=None, factor=factor))
    return repairs


def _scale(module: nn.Module, weights: StoredWeights, block: int, maps: Sequence[Map], factor: float) -> None:
    if not 0 < factor < float("inf"):
        raise HealingError(f"hidden states before block {block} are not finite", "Try --dtype float32")
    for place in [place for entry in maps for place in (entry.weight, entry.bias) if place]:
        weights.put(block, place, module, weights.get(block, place).double() * factor)
