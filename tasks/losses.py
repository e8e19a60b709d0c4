"""Losses of a checkpoint's model, whether it is in memory as a whole or streamed."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from lorp.checkpoint import open_checkpoint
from lorp.corpus import Window
from lorp.evaluation.perplexity import WindowLoss, window_losses
from lorp.evaluation.streamed import streamed_losses
from lorp.spec import ComputeSpec


def measured_losses(
    model: PreTrainedModel, folder: Path, compute: ComputeSpec, windows: Sequence[Window], scratch: Path
) -> tuple[WindowLoss, ...]:
    """The loss of each window: the same either way.

    Args:
        model: As `tasks.models` gives it.
        folder: The checkpoint's.
        compute: How the model was asked for.
        windows: What it predicts.
        scratch: Where states go that do not fit into memory.
    """
    if compute.capture_mode == "streamed":
        return streamed_losses(model, open_checkpoint(folder).family, windows, scratch)
    return window_losses(model, windows)
