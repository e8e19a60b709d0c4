"""One forward pass of a model's body -> how the hidden states at its block boundaries resemble each other.

Shapes: L = N + 1 boundaries (boundary b is the input of block b; boundary N leaves the last block, before the final
norm), T tokens a window, D hidden size, K sampled tokens.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from lorp.architectures import Family
from lorp.corpus import Window
from lorp.errors import SourceError
from lorp.progress import track

_TOKENS_A_STEP = 128


@dataclass(frozen=True, kw_only=True)
class WindowCapture:
    """What is kept of one window.

    Attributes:
        window: The window.
        cosine_sums_LL: float64, sum over the window's tokens of the cosine between their states at two boundaries.
        positions_K: int32, the sampled tokens' places in the window, ascending.
        units_KLD: float16, the sampled tokens' unit vectors.
        norms_KL: float32, their norms.
    """

    window: Window
    cosine_sums_LL: NDArray[np.float64]
    positions_K: NDArray[np.int32]
    units_KLD: NDArray[np.float16]
    norms_KL: NDArray[np.float32]


def capture_windows(
    model: PreTrainedModel, family: Family, windows: Sequence[Window], sampled_tokens: int, seed: int
) -> list[WindowCapture]:
    """Captures windows one by one; nothing but the captures outlives a window.

    The language-model head is not run. Cosines are summed in float64 from float32 unit vectors (arXiv 2605.27786,
    equations 3 and 4, before the division by the number of tokens).

    Raises:
        SourceError: A hidden state is zero or not finite.
    """
    with _recorded_boundaries(model, family) as states, torch.inference_mode():
        return [_capture(model, states, window, sampled_tokens, seed) for window in track(windows, "capture windows")]


def sampled_positions(window: Window, sampled_tokens: int, seed: int) -> list[int]:
    """Positions of the tokens of a window that are sampled, ascending; they depend on nothing but window and seed."""
    count = min(sampled_tokens, len(window.tokens))
    return sorted(random.Random(f"{seed}/{window.text_sha256}/{window.id}").sample(range(len(window.tokens)), count))


def _capture(
    model: PreTrainedModel, states: list[torch.Tensor], window: Window, sampled_tokens: int, seed: int
) -> WindowCapture:
    states.clear()
    model.base_model(input_ids=torch.tensor([window.tokens], device=model.device), use_cache=False)
    h_LTD = torch.stack([state[0] for state in states]).float()
    states.clear()
    norm_LT = torch.linalg.vector_norm(h_LTD, dim=-1)
    if not torch.isfinite(norm_LT).all() or (norm_LT == 0).any():
        raise SourceError(f"hidden states of window {window.id} are zero or not finite", "Try --dtype float32")
    unit_LTD = h_LTD.div_(norm_LT.unsqueeze(-1))
    positions = sampled_positions(window, sampled_tokens, seed)
    return WindowCapture(
        window=window,
        cosine_sums_LL=_cosine_sums(unit_LTD),
        positions_K=np.array(positions, dtype=np.int32),
        units_KLD=unit_LTD[:, positions].transpose(0, 1).half().cpu().numpy(),
        norms_KL=norm_LT[:, positions].T.contiguous().cpu().numpy(),
    )


def _cosine_sums(unit_LTD: torch.Tensor) -> NDArray[np.float64]:
    num_boundaries = unit_LTD.shape[0]
    total_LL = torch.zeros(num_boundaries, num_boundaries, dtype=torch.float64, device=unit_LTD.device)
    for step_LTD in torch.split(unit_LTD, _TOKENS_A_STEP, dim=1):
        flat = step_LTD.double().flatten(start_dim=1)
        total_LL += flat @ flat.T
    sums: NDArray[np.float64] = total_LL.cpu().numpy()
    return sums


@contextmanager
def _recorded_boundaries(model: PreTrainedModel, family: Family) -> Iterator[list[torch.Tensor]]:
    """While open, each forward pass appends the model's N + 1 boundary states to the list, each of shape (1, T, D)."""
    states: list[torch.Tensor] = []
    blocks: Any = model.get_submodule(family.blocks_path)

    def record_input(_block: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        states.append(args[0])

    def record_output(_block: torch.nn.Module, _args: Any, output: torch.Tensor) -> None:
        states.append(output)

    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(record_input).remove)
        hooks.callback(blocks[-1].register_forward_hook(record_output).remove)
        yield states
