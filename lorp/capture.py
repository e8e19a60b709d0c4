"""One forward pass of a model's body -> how the hidden states at its block boundaries resemble each other.

Shapes: B windows a pass, L = N + 1 boundaries (boundary b is the input of block b; boundary N leaves the last block,
before the final norm), T tokens a window, D hidden size, K sampled tokens.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize, pad
from transformers import PreTrainedModel

from lorp.architectures import Family
from lorp.body import by_window, state_in
from lorp.corpus import Window
from lorp.errors import SourceError
from lorp.expert_load import Choices, counting_choices
from lorp.feeding import Feed, feed_of, passes_of
from lorp.progress import report

#: Cosines are taken in products over so many tokens, of so many tokens at a time: on a CPU as stay in its cache, on an
#: accelerator as many as make kernels worth their start. A part is a multiple of a product.
_TOKENS_A_PRODUCT = 4
_TOKENS_A_PART = 16
_NUMBERS_A_PART = 1 << 24


@dataclass(frozen=True, kw_only=True)
class WindowCapture:
    """What is kept of one window.

    Attributes:
        window: The window.
        num_tokens: T, how many of its tokens have passed the blocks.
        cosine_sums_LL: float64, sum over the window's tokens of the cosine between their states at two boundaries.
        positions_K: int32, the sampled tokens' places in the window, ascending.
        units_KLD: float16, the sampled tokens' unit vectors.
        norms_KL: float32, their norms.
        expert_loads_NE: int32, the choices of each expert by the routers of N blocks; None for a model without experts.
        num_image_tokens: How many of the tokens are an image's, in a stack that reads text too.
        image_sums_LL: float64, the cosine sums over these alone; None where there are none.
    """

    window: Window
    num_tokens: int
    cosine_sums_LL: NDArray[np.float64]
    positions_K: NDArray[np.int32]
    units_KLD: NDArray[np.float16]
    norms_KL: NDArray[np.float32]
    expert_loads_NE: NDArray[np.int32] | None = None
    num_image_tokens: int = 0
    image_sums_LL: NDArray[np.float64] | None = None


def capture_windows(
    model: PreTrainedModel, family: Family, windows: Sequence[Window], sampled_tokens: int, seed: int
) -> list[WindowCapture]:
    """Captures windows, few to a pass; nothing but the captures outlives a pass.

    The language-model head is not run. Cosines are summed over tokens in float64 (arXiv 2605.27786, equations 3 and 4,
    before the division by the number of tokens). Until a pass ends its unit vectors are held in float16, which moves a
    mean cosine by less than 1e-5 where the hidden size is in the hundreds. Short windows that follow each other and are
    equally long share a pass, which changes no more than rounding does.

    Raises:
        SourceError: A hidden state is zero or not finite.
    """
    boundaries = _Boundaries()
    captures: list[WindowCapture] = []
    report("capture windows", 0, len(windows))
    # Before anything is recorded: counting an image's features runs the blocks that make them.
    passes = [(passed, feed_of(passed, model)) for passed in passes_of(windows)]
    recording, counting = _recording(model, family, boundaries), counting_choices(model, family)
    with recording, counting as choices, torch.inference_mode():
        for passed, feed in passes:
            apart = image_tokens(feed, family)
            captures += _capture(model, boundaries, choices, passed, feed, sampled_tokens, seed, apart)
            report("capture windows", len(captures), len(windows))
    return captures


def sampled_positions(window: Window, num_states: int, sampled_tokens: int, seed: int) -> list[int]:
    """Positions of the tokens of a window that are sampled, ascending; they depend on nothing but window and seed.

    Args:
        window: Which.
        num_states: How many of its tokens pass the blocks.
        sampled_tokens: Of how many of these states are kept.
        seed: Of the sampling.
    """
    count = min(sampled_tokens, num_states)
    return sorted(random.Random(f"{seed}/{window.text_sha256}/{window.id}").sample(range(num_states), count))


class _Boundaries:
    """Unit vectors and norms of one pass's states, written as the states pass by: no state outlives its block.

    Attributes:
        num_windows: B of the pass.
    """

    def __init__(self) -> None:
        self.num_windows = 0
        self._unit_BLTD = torch.empty(0, 0, 0, 0)
        self._norm_BLT = torch.empty(0, 0, 0)
        self._unit_BTD = torch.empty(0, 0, 0)
        self._passed = 0

    def begin(self, num_boundaries: int, state: torch.Tensor) -> None:
        """Makes room for a pass's states, all shaped as this one; the room of the one before is used if it fits."""
        state_BTD = by_window(state, self.num_windows)
        windows, tokens, features = state_BTD.shape
        shape = (windows, num_boundaries, tokens, features)
        if self._unit_BLTD.shape != shape:
            device = state_BTD.device
            self._unit_BLTD = torch.empty(shape, device=device, dtype=torch.float16)
            self._norm_BLT = torch.empty(shape[:-1], device=device)
            self._unit_BTD = torch.empty(state_BTD.shape, device=device)
        self._passed = 0

    def add(self, state: torch.Tensor) -> None:
        """Takes the next boundary's state."""
        h_BTD = by_window(state, self.num_windows).float()
        norm_BT1 = torch.linalg.vector_norm(h_BTD, dim=-1, keepdim=True)
        self._norm_BLT[:, self._passed] = norm_BT1[..., 0]
        self._unit_BLTD[:, self._passed] = torch.div(h_BTD, norm_BT1, out=self._unit_BTD)
        self._passed += 1

    def of(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit vectors (float16, L x T x D) and norms (float32, L x T) of one of the pass's windows."""
        assert self._passed == self._norm_BLT.shape[1]
        return self._unit_BLTD[row], self._norm_BLT[row]


def _capture(
    model: PreTrainedModel,
    boundaries: _Boundaries,
    choices: Choices | None,
    windows: Sequence[Window],
    feed: Feed,
    sampled_tokens: int,
    seed: int,
    apart_1T: torch.Tensor | None,
) -> list[WindowCapture]:
    boundaries.num_windows = len(windows)
    model.base_model(**feed.inputs, use_cache=False)
    loads = choices.of_pass(len(windows)) if choices else [None] * len(windows)
    return [
        kept_of(window, *boundaries.of(row), sampled_tokens, seed, loads[row], apart_1T)
        for row, window in enumerate(windows)
    ]


def image_tokens(feed: Feed, family: Family) -> torch.Tensor | None:
    """Which tokens that pass the blocks are an image's, if there are any beside others; in a vision stack all are."""
    return feed.image_BT if family.stack is None else None


def kept_of(
    window: Window,
    unit_LTD: torch.Tensor,
    norm_LT: torch.Tensor,
    sampled_tokens: int,
    seed: int,
    load_NE: NDArray[np.int32] | None,
    image_1T: torch.Tensor | None,
) -> WindowCapture:
    """What is kept of a window, given its states.

    Args:
        window: The window.
        unit_LTD: Unit vectors, float16.
        norm_LT: Norms, float32.
        sampled_tokens: Tokens whose states are kept.
        seed: Of the sampling.
        load_NE: Choices of experts.
        image_1T: bool, which of the tokens are an image's, as `image_tokens` says.

    Raises:
        SourceError: A state is zero or not finite, so that there is no cosine.
    """
    if not torch.isfinite(norm_LT).all() or (norm_LT == 0).any():
        raise SourceError(f"hidden states of window {window.id} are zero or not finite", "Try --dtype float32")
    positions = sampled_positions(window, norm_LT.shape[1], sampled_tokens, seed)
    image_T = None if image_1T is None else image_1T[0].to(unit_LTD.device)
    return WindowCapture(
        window=window,
        num_tokens=norm_LT.shape[1],
        cosine_sums_LL=_cosine_sums(unit_LTD),
        positions_K=np.array(positions, dtype=np.int32),
        units_KLD=unit_LTD[:, positions].transpose(0, 1).cpu().numpy(),
        norms_KL=norm_LT[:, positions].T.contiguous().cpu().numpy(),
        expert_loads_NE=load_NE,
        num_image_tokens=0 if image_T is None else int(image_T.sum()),
        image_sums_LL=None if image_T is None else _cosine_sums(unit_LTD[:, image_T]),
    )


def _cosine_sums(unit_LTD: torch.Tensor) -> NDArray[np.float64]:
    """Products in float32 over a few tokens at a time, whose sums are then added up in float64."""
    parts = [_sum_of_products(part_LTD.float()) for part_LTD in torch.split(unit_LTD, _tokens_a_part(unit_LTD), dim=1)]
    sums: NDArray[np.float64] = torch.stack(parts).sum(dim=0).cpu().numpy()
    return sums


def _tokens_a_part(unit_LTD: torch.Tensor) -> int:
    if unit_LTD.device.type == "cpu":
        return _TOKENS_A_PART
    products = _NUMBERS_A_PART // (unit_LTD.shape[0] * unit_LTD.shape[2] * _TOKENS_A_PRODUCT)
    return max(1, products) * _TOKENS_A_PRODUCT


def _sum_of_products(rounded_LTD: torch.Tensor) -> torch.Tensor:
    """Rounding has left the vectors a little longer or shorter than one."""
    boundaries, tokens, features = rounded_LTD.shape
    unit_LTD = normalize(rounded_LTD, dim=-1)
    if missing := -tokens % _TOKENS_A_PRODUCT:
        unit_LTD = pad(unit_LTD, (0, 0, 0, missing))
    groups_GLF = unit_LTD.reshape(boundaries, -1, _TOKENS_A_PRODUCT * features).transpose(0, 1)
    return torch.bmm(groups_GLF, groups_GLF.mT).sum(dim=0, dtype=torch.float64)


@contextmanager
def _recording(model: PreTrainedModel, family: Family, boundaries: _Boundaries) -> Iterator[None]:
    """While open, each forward pass hands the model's N + 1 boundary states on, one after the other."""
    blocks: Any = model.get_submodule(family.blocks_path)

    def begin(_block: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        boundaries.begin(len(blocks) + 1, args[0])

    def record_input(_block: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        boundaries.add(args[0])

    def record_output(_block: torch.nn.Module, _args: Any, given: Any) -> None:
        boundaries.add(state_in(family, given))

    with ExitStack() as hooks:
        hooks.callback(blocks[0].register_forward_pre_hook(begin).remove)
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(record_input).remove)
        hooks.callback(blocks[-1].register_forward_hook(record_output).remove)
        yield
