"""Capture of a model larger than memory: all windows pass a block before the next one is read.

The same figures as `lorp.capture`, which runs a window through all blocks: states of all windows are held where a block
begins, and unit vectors at all boundaries are in files until the last block has run.

Shapes: B windows a pass, L = N + 1 boundaries, T tokens a window, D hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from lorp.architectures import Family
from lorp.body import Body, by_window
from lorp.capture import WindowCapture, image_tokens, kept_of
from lorp.corpus import Window
from lorp.disk import check_room
from lorp.expert_load import Choices, counting_choices
from lorp.feeding import Feed, feed_of, passes_of
from lorp.progress import track
from lorp.spill import Spill

_UNIT_BYTES = 2  # of float16


@dataclass
class _Pass:
    """Windows that share a pass, and what has been seen of them.

    Attributes:
        windows: B windows.
        feed: What the model is given for them.
        path: Unit vectors, float16, boundary after boundary: L x B x T x D.
        norms: float32, a boundary each: B x T.
        loads_BNE: Choices of experts; None for a model without.
    """

    windows: list[Window]
    feed: Feed
    path: Path
    norms: list[torch.Tensor]
    loads_BNE: NDArray[np.int32] | None = None

    def add(self, state: torch.Tensor) -> None:
        """Takes the next boundary's state."""
        h_BTD = by_window(state, len(self.windows)).float()
        norm_BT1 = torch.linalg.vector_norm(h_BTD, dim=-1, keepdim=True)
        self.norms.append(norm_BT1[..., 0].cpu())
        with self.path.open("ab") as file:
            file.write((h_BTD / norm_BT1).half().cpu().numpy().tobytes())

    def captures(self, family: Family, features: int, sampled_tokens: int, seed: int) -> list[WindowCapture]:
        """What is kept of each window; one is in memory at a time."""
        norm_LBT = torch.stack(self.norms)
        shape = (*norm_LBT.shape, features)
        unit_LBTD = np.memmap(self.path, dtype=np.float16, mode="r", shape=shape)
        return [
            kept_of(
                window,
                torch.from_numpy(np.array(unit_LBTD[:, row])),
                norm_LBT[:, row],
                sampled_tokens,
                seed,
                None if self.loads_BNE is None else self.loads_BNE[row],
                image_tokens(self.feed, family),
            )
            for row, window in enumerate(self.windows)
        ]


def capture_streamed(
    model: PreTrainedModel, family: Family, windows: Sequence[Window], sampled_tokens: int, seed: int, scratch: Path
) -> list[WindowCapture]:
    """Captures windows, block by block.

    Args:
        model: Streamed, or loaded as a whole.
        family: Its family.
        windows: What to capture.
        sampled_tokens: Tokens a window whose states are kept.
        seed: Of the sampling.
        scratch: Where states go that do not fit into memory; L x T x D x 2 bytes a window.

    Raises:
        SourceError: A hidden state is zero or not finite.
        SpaceError: The disk has no room for them.
    """
    body = Body(model, family)
    with TemporaryDirectory(dir=scratch) as folder, Spill(folder=scratch) as states, torch.inference_mode():
        passes = [
            _Pass(passed, feed_of(passed, model), Path(folder) / str(number), [])
            for number, passed in enumerate(passes_of(windows))
        ]
        num_values = 0
        for number, each in enumerate(passes):
            states[number] = embedded = body.embedded(each.feed)
            num_values += embedded.numel()
        check_room(scratch, (body.num_blocks + 1) * num_values * _UNIT_BYTES)
        for number, each in enumerate(passes):
            each.add(states[number])
        with counting_choices(model, family) as choices:
            for block in track(range(body.num_blocks), "capture blocks"):
                _pass_block(body, block, passes, states, choices)
        features = states[0].shape[-1]
        return [capture for each in passes for capture in each.captures(family, features, sampled_tokens, seed)]


def _pass_block(body: Body, block: int, passes: Sequence[_Pass], states: Spill, choices: Choices | None) -> None:
    with body.held(block):
        for number, each in enumerate(passes):
            states[number] = body.step(block, states[number], each.feed)
            each.add(states[number])
            if choices:
                _note_load(each, block, choices)


def _note_load(each: _Pass, block: int, choices: Choices) -> None:
    load_BE = choices.of_block(block, len(each.windows))
    if each.loads_BNE is None:
        each.loads_BNE = np.zeros((len(load_BE), choices.num_blocks, load_BE.shape[1]), dtype=np.int32)
    each.loads_BNE[:, block] = load_BE
