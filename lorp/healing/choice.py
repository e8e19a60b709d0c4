"""The kind of healing after which a plan costs least, on windows that no map was fitted on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import torch
from transformers import PreTrainedModel

from lorp.body import Body
from lorp.checkpoint import Checkpoint
from lorp.corpus.uses import HealingWindows, RidgeWindows
from lorp.errors import HealingError
from lorp.evaluation.perplexity import mean_loss
from lorp.feeding import feeds
from lorp.healing.overlay import overlay
from lorp.healing.repair import Healing, Repaired, repair, repair_from, start
from lorp.plan import PruningPlan
from lorp.spec import HealingMethod

_NOTHING = Repaired(repairs=(), tensors={})


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of one kind of healing.

    Attributes:
        method: Which.
        loss: Mean loss on the windows on which ridges are chosen, in nats; None where it is not finite, or not known.
        refused: Why it could not be done.
    """

    method: HealingMethod
    loss: float | None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best kind of healing, what it changes, and what else was tried."""

    method: HealingMethod
    repaired: Repaired
    attempts: tuple[Attempt, ...]


def heal(
    model: PreTrainedModel, checkpoint: Checkpoint, plan: PruningPlan, windows: HealingWindows, method: HealingMethod
) -> Choice:
    """Heals as asked; `auto` tries everything, nothing at all too, and takes that with the lowest loss.

    Raises:
        HealingError: It cannot be done as asked; not for `auto`, which does without.
    """
    if method == "none":
        return Choice(method="none", repaired=_NOTHING, attempts=())
    if method != "auto":
        return Choice(method=method, repaired=repair(model, checkpoint, plan, windows, method), attempts=())
    loss = _loss(model, checkpoint, plan, {}, windows.ridge)
    best: tuple[float, HealingMethod, Repaired] = (loss, "none", _NOTHING)
    attempts = [Attempt(method="none", loss=_finite(loss))]
    begun = start(model, checkpoint, plan, windows)
    for kind in get_args(Healing):
        try:
            done = repair_from(begun, checkpoint, plan, kind)
        except HealingError as refusal:
            attempts.append(Attempt(method=kind, loss=None, refused=refusal.reason))
            continue
        loss = _loss(model, checkpoint, plan, done.tensors, windows.ridge)
        attempts.append(Attempt(method=kind, loss=_finite(loss)))
        if loss < best[0]:
            best = (loss, kind, done)
    return Choice(method=best[1], repaired=best[2], attempts=tuple(attempts))


def _loss(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    plan: PruningPlan,
    tensors: Mapping[str, torch.Tensor],
    windows: RidgeWindows,
) -> float:
    """Mean loss of the pruned and healed model."""
    body, parameters = Body(model, checkpoint.family), dict(model.named_parameters())
    with torch.inference_mode(), overlay() as values:
        for name, tensor in tensors.items():
            place = checkpoint.family.place_of(name, parameters)
            assert place
            values.put(parameters[place.name], place, tensor)
        passes = feeds(windows.windows, model)
        states = [body.embedded(feed) for feed in passes]
        for block in (block for block in plan.kept if block < body.num_used):
            states = body.step_all(block, states, passes)
        losses: list[float] = []
        for feed, state_BTD in zip(passes, states, strict=True):
            losses += [mean_loss(*said) for said in feed.said_of(body.logits(feed, state_BTD))]
    return sum(losses) / len(losses)


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
