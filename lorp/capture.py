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

_TOKENS_A_PRODUCT = 4


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

    The language-model head is not run. Cosines are those of float32 unit vectors, summed over tokens in float64
    (arXiv 2605.27786, equations 3 and 4, before the division by the number of tokens).

    Raises:
        SourceError: A hidden state is zero or not finite.
    """
    boundaries = _Boundaries()
    with _recording(model, family, boundaries), torch.inference_mode():
        return [
            _capture(model, boundaries, window, sampled_tokens, seed) for window in track(windows, "capture windows")
        ]


def sampled_positions(window: Window, sampled_tokens: int, seed: int) -> list[int]:
    """Positions of the tokens of a window that are sampled, ascending; they depend on nothing but window and seed."""
    count = min(sampled_tokens, len(window.tokens))
    return sorted(random.Random(f"{seed}/{window.text_sha256}/{window.id}").sample(range(len(window.tokens)), count))


class _Boundaries:
    """Unit vectors and norms of one window's states, written as the states pass by: no state outlives its block."""

    def __init__(self) -> None:
        self.unit_LTD = torch.empty(0, 0, 0)
        self.norm_LT = torch.empty(0, 0)
        self._passed = 0

    def begin(self, num_boundaries: int, state_BTD: torch.Tensor) -> None:
        """Makes room for a window's states, all shaped as this one; the room of the one before is used if it fits."""
        shape = (num_boundaries, *state_BTD.shape[1:])
        if self.unit_LTD.shape != shape:
            self.unit_LTD = torch.empty(shape, device=state_BTD.device)
            self.norm_LT = torch.empty(shape[:2], device=state_BTD.device)
        self._passed = 0

    def add(self, state_BTD: torch.Tensor) -> None:
        """Takes the next boundary's state, of shape (1, T, D)."""
        h_TD = state_BTD[0].float()
        norm_T = torch.linalg.vector_norm(h_TD, dim=-1, out=self.norm_LT[self._passed])
        torch.div(h_TD, norm_T.unsqueeze(-1), out=self.unit_LTD[self._passed])
        self._passed += 1

    def check(self, window: Window) -> None:
        """Refuses states from which no cosine can be taken.

        Raises:
            SourceError: One is zero or not finite.
        """
        assert self._passed == len(self.norm_LT)
        if not torch.isfinite(self.norm_LT).all() or (self.norm_LT == 0).any():
            raise SourceError(f"hidden states of window {window.id} are zero or not finite", "Try --dtype float32")


def _capture(
    model: PreTrainedModel, boundaries: _Boundaries, window: Window, sampled_tokens: int, seed: int
) -> WindowCapture:
    model.base_model(input_ids=torch.tensor([window.tokens], device=model.device), use_cache=False)
    boundaries.check(window)
    positions = sampled_positions(window, sampled_tokens, seed)
    return WindowCapture(
        window=window,
        cosine_sums_LL=_cosine_sums(boundaries.unit_LTD),
        positions_K=np.array(positions, dtype=np.int32),
        units_KLD=boundaries.unit_LTD[:, positions].transpose(0, 1).half().cpu().numpy(),
        norms_KL=boundaries.norm_LT[:, positions].T.contiguous().cpu().numpy(),
    )


def _cosine_sums(unit_LTD: torch.Tensor) -> NDArray[np.float64]:
    """Products in float32 over a few tokens at a time, whose sums are then added up in float64."""
    num_tokens = unit_LTD.shape[1]
    whole = num_tokens - num_tokens % _TOKENS_A_PRODUCT
    total_LL = _sum_of_products(unit_LTD[:, :whole], _TOKENS_A_PRODUCT)
    total_LL += _sum_of_products(unit_LTD[:, whole:], 1)
    sums: NDArray[np.float64] = total_LL.cpu().numpy()
    return sums


def _sum_of_products(unit_LTD: torch.Tensor, num_tokens: int) -> torch.Tensor:
    boundaries, tokens, features = unit_LTD.shape
    groups_GLF = unit_LTD.reshape(boundaries, tokens // num_tokens, num_tokens * features).transpose(0, 1)
    return torch.bmm(groups_GLF, groups_GLF.mT).sum(dim=0, dtype=torch.float64)


@contextmanager
def _recording(model: PreTrainedModel, family: Family, boundaries: _Boundaries) -> Iterator[None]:
    """While open, each forward pass hands the model's N + 1 boundary states on, one after the other."""
    blocks: Any = model.get_submodule(family.blocks_path)

    def begin(_block: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        boundaries.begin(len(blocks) + 1, args[0])

    def record_input(_block: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        boundaries.add(args[0])

    def record_output(_block: torch.nn.Module, _args: Any, output: torch.Tensor) -> None:
        boundaries.add(output)

    with ExitStack() as hooks:
        hooks.callback(blocks[0].register_forward_pre_hook(begin).remove)
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(record_input).remove)
        hooks.callback(blocks[-1].register_forward_hook(record_output).remove)
        yield
