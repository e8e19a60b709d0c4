"""Windows -> loss of each: next-token negative log-likelihood in nats, the first token of a window not predicted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lorp.corpus import Window
from lorp.progress import track

_POSITIONS_A_STEP = 512


@dataclass(frozen=True, kw_only=True)
class WindowLoss:
    """Loss of one window.

    Attributes:
        window: The window's id.
        document: Its document's id.
        num_predicted: Predicted tokens, one fewer than the window's.
        loss: Mean negative log-likelihood in nats; None if it is not finite.
    """

    window: str
    document: str
    num_predicted: int
    loss: float | None


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
        total = sum(item.num_predicted for item in self.losses)
        if not total or any(item.loss is None for item in self.losses):
            return math.nan
        return exp(sum((item.loss or 0.0) * item.num_predicted for item in self.losses) / total)


def window_losses(model: PreTrainedModel, windows: Sequence[Window]) -> tuple[WindowLoss, ...]:
    """The loss of each window, computed one window at a time in float32 or better."""
    with torch.inference_mode():
        return tuple(loss_of(window, _logits(model, window)) for window in track(windows, "evaluate windows"))


def loss_of(window: Window, logits_TV: torch.Tensor) -> WindowLoss:
    """The loss of a window of which a model says this."""
    mean = mean_loss(logits_TV, torch.tensor(window.tokens, device=logits_TV.device))
    return WindowLoss(
        window=window.id,
        document=window.document,
        num_predicted=len(window.tokens) - 1,
        loss=mean if math.isfinite(mean) else None,
    )


def exp(log: float) -> float:
    """The exponential of `log`; infinity where that is too large for a float."""
    try:
        return math.exp(log)
    except OverflowError:
        return math.inf


def mean_loss(logits_TV: torch.Tensor, ids_T: torch.Tensor) -> float:
    """Mean loss over the tokens of a window but its first, in nats; infinity where it is not finite.

    Args:
        logits_TV: What a model says at each token.
        ids_T: The tokens.
    """
    total = torch.zeros((), dtype=torch.float64, device=ids_T.device)
    steps = zip(torch.split(logits_TV[:-1], _POSITIONS_A_STEP), torch.split(ids_T[1:], _POSITIONS_A_STEP), strict=True)
    for step_TV, targets_T in steps:
        losses_T = torch.nn.functional.cross_entropy(step_TV.float(), targets_T, reduction="none")
        total += losses_T.double().sum()
    mean = float(total) / (len(ids_T) - 1)
    return mean if math.isfinite(mean) else math.inf


def _logits(model: PreTrainedModel, window: Window) -> torch.Tensor:
    said: torch.Tensor = model(input_ids=torch.tensor([window.tokens], device=model.device), use_cache=False).logits[0]
    return said
