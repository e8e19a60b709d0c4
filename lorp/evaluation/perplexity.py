"""Windows -> loss of each: next-token negative log-likelihood in nats, the first token of a text not predicted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lorp.corpus import Window
from lorp.feeding import Feed, feed_of
from lorp.progress import track

_POSITIONS_A_STEP = 512


@dataclass(frozen=True, kw_only=True)
class WindowLoss:
    """Loss of one window.

    Attributes:
        window: The window's id.
        document: Its document's id.
        num_predicted: Predicted tokens: one fewer than the window's, or all where they are made from a source.
        loss: Mean negative log-likelihood in nats; None if it is not finite.
    """

    window: str
    document: str
    num_predicted: int
    loss: float | None

    def __post_init__(self) -> None:
        if abs(self.num_predicted) >= 1 << 31:
            raise ValueError("no window has so many tokens")


@dataclass(frozen=True, kw_only=True)
class PerplexityEvaluation:
    """Losses of one model.

    Attributes:
        checkpoint: Digest of what was evaluated.
        windows_sha256: Digest of the windows.
        num_expected: Windows that were to be evaluated.
        losses: A loss a window, in their order.
    """

    checkpoint: str
    windows_sha256: str
    num_expected: int
    losses: tuple[WindowLoss, ...]

    @property
    def perplexity(self) -> float:
        """Exponential of the mean loss over predicted tokens; NaN where a loss is missing."""
        return perplexity_of(self.losses)


def perplexity_of(losses: Sequence[WindowLoss]) -> float:
    """Exponential of the mean loss over the tokens that windows predict; NaN where a loss is missing, or all are."""
    total = sum(item.num_predicted for item in losses)
    if not total or any(item.loss is None for item in losses):
        return math.nan
    return exp(sum((item.loss or 0.0) * item.num_predicted for item in losses) / total)


def window_losses(model: PreTrainedModel, windows: Sequence[Window]) -> tuple[WindowLoss, ...]:
    """The loss of each window, computed one window at a time in float32 or better."""
    with torch.inference_mode():
        return tuple(_loss(model, window) for window in track(windows, "evaluate windows"))


def loss_of(window: Window, feed: Feed, logits_1TV: torch.Tensor) -> WindowLoss:
    """The loss of a window of which a model that was given this says that."""
    [(logits_TV, ids_T)] = feed.said_of(logits_1TV)
    mean = mean_loss(logits_TV, ids_T)
    return WindowLoss(
        window=window.id,
        document=window.document,
        num_predicted=len(ids_T),
        loss=mean if math.isfinite(mean) else None,
    )


def exp(log: float) -> float:
    """The exponential of `log`; infinity where that is too large for a float."""
    try:
        return math.exp(log)
    except OverflowError:
        return math.inf


def mean_loss(logits_TV: torch.Tensor, ids_T: torch.Tensor) -> float:
    """Mean loss over tokens, in nats; infinity where it is not finite.

    Args:
        logits_TV: What a model says of each token.
        ids_T: The tokens.
    """
    total = torch.zeros((), dtype=torch.float64, device=ids_T.device)
    steps = zip(torch.split(logits_TV, _POSITIONS_A_STEP), torch.split(ids_T, _POSITIONS_A_STEP), strict=True)
    for step_TV, targets_T in steps:
        losses_T = torch.nn.functional.cross_entropy(step_TV.float(), targets_T, reduction="none")
        total += losses_T.double().sum()
    mean = float(total) / len(ids_T)
    return mean if math.isfinite(mean) else math.inf


def _loss(model: PreTrainedModel, window: Window) -> WindowLoss:
    feed = feed_of([window], model)
    return loss_of(window, feed, model(**feed.inputs, use_cache=False).logits)
