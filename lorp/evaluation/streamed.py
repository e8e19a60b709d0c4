"""Windows -> loss of each, by a streamed model: all windows pass a block before the next one is read."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from lorp.architectures import Family
from lorp.body import Body
from lorp.corpus import Window
from lorp.evaluation.perplexity import WindowLoss, loss_of
from lorp.feeding import feed_of
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
    feeds = [feed_of([window], model) for window in windows]
    with Spill(folder=scratch) as states, torch.inference_mode():
        for number, feed in enumerate(feeds):
            states[number] = body.embedded(feed)
        for block in track(range(body.num_used), "run blocks"):
            with body.held(block):
                for number, feed in enumerate(feeds):
                    states[number] = body.step(block, states[number], feed)
        return tuple(
            loss_of(window, feed, body.logits(feed, states[number]))
            for number, (window, feed) in enumerate(zip(windows, feeds, strict=True))
        )
