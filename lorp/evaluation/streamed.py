"""Windows -> loss of each, by a streamed model: all windows pass a block before the next one is read."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from lorp.architectures import Family
from lorp.body import Body
from lorp.corpus import Window
from lorp.evaluation.perplexity import WindowLoss, loss_of
from lorp.progress import track
from lorp.spill import Spill


def streamed_losses(
    model: PreTrainedModel, family: Family, windows: Sequence[Window], scratch: Path
) -> tuple[WindowLoss, ...]:
    """The loss of each window, as `window_losses` gives it to the last bit.

    Args:
        model: A streamed one.
        family: Its family.
        windows: What it predicts.
        scratch: Where states go that do not fit into memory.
    """
    body = Body(model, family)
    tokens = [torch.tensor([window.tokens], device=body.device) for window in windows]
    with Spill(folder=scratch) as states, torch.inference_mode():
        for number, tokens_1T in enumerate(tokens):
            states[number] = body.embedded(tokens_1T)
        for block in track(range(body.num_blocks), "run blocks"):
            with body.held(block):
                for number in range(len(windows)):
                    states[number] = body.step(block, states[number])
        return tuple(
            loss_of(window, body.logits(tokens_1T, states[number])[0])
            for number, (window, tokens_1T) in enumerate(zip(windows, tokens, strict=True))
        )
