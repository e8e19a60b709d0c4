"""Dense model + plan -> new weights of kept blocks, in closed form, shallow to deep on the healed prefix.

Of each window only the states around one block are held, in the dense model and in the healed one; what a fit needs is
summed up in normal equations. Tokens weigh as the inverse of the norm of what they are to become, and none is left out:
the first of a window has a norm a hundred times that of the others, and would otherwise be all that is fitted, or be
moved at will.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from transformers import PreTrainedModel

from lorp.body import Body, batches
from lorp.checkpoint import Checkpoint
from lorp.corpus.uses import HealingWindows
from lorp.errors import HealingError
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


def repair(
    model: PreTrainedModel, checkpoint: Checkpoint, plan: PruningPlan, windows: HealingWindows, method: Healing
) -> Repaired:
    """Fits kept blocks to the dense model's states; the model is as before afterwards.

    `linear` (ReplaceMe): before each gap, the MLP's output M becomes `M + M X`, as close as it comes to the state that
    the block after the gap had in the dense model. `refit`: from the first gap on, what attention and MLP read is
    mapped to what they read in the dense model, and what they write makes up for what is missing by then. `magnitude`
    (Prune&Comp): what blocks after a gap write is scaled, and nothing is fitted.

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
    body, projections = Body(model, checkpoint.family), checkpoint.family.projections
    with torch.inference_mode(), stored_weights(checkpoint) as weights:
        streams = list(_streams(windows, body))
        if method == "magnitude":
            paths = (projections.attention_write, projections.mlp_write)
            repairs = scale_writes(body, weights, streams, plan, paths)
        else:
            repairs = _fit(body, checkpoint, plan, weights, streams, method)
    return Repaired(repairs=tuple(repairs), tensors=weights.changed)


def check_healing(checkpoint: Checkpoint, method: Healing) -> None:
    """Refuses what a checkpoint's blocks do not allow.

    Raises:
        HealingError: With the reason.
    """
    if method != "refit" and not checkpoint.family.projections.writes_freely(checkpoint.config):
        raise HealingError(
            f"{method} healing cannot be folded into {checkpoint.family.name}: a norm follows what its blocks write",
            "Use --heal refit, which changes what blocks read, or --heal none",
        )


def _fit(
    body: Body,
    checkpoint: Checkpoint,
    plan: PruningPlan,
    weights: StoredWeights,
    streams: list[Stream],
    method: ClosedForm,
) -> list[SiteRepair]:
    projections = checkpoint.family.projections
    sites = sites_of(projections, projections.writes_freely(checkpoint.config))
    repairs: list[SiteRepair] = []
    for block, following in track(list(pairwise((*plan.kept, plan.num_blocks))), f"heal ({method})"):
        after_gap, at_gap = plan.removed[0] < block, following > block + 1
        healed = [site for site in sites if (at_gap and site.name == "mlp_write") or (after_gap and method == "refit")]
        healer = BlockHealer(body, weights, streams, block, following, healed, differs=after_gap or at_gap)
        repairs.extend(healer.heal(site, method) for site in healed)
        if method == "linear" and following > plan.removed[-1]:
            break
        healer.leave()
    return repairs


def _streams(windows: HealingWindows, body: Body) -> Iterator[Stream]:
    for fits, used in ((True, windows.fit), (False, windows.ridge)):
        for tokens_BT in batches(used.windows, body.device):
            state_BTD = body.embedded(tokens_BT)
            yield Stream(fits=fits, dense=state_BTD, healed=state_BTD)
