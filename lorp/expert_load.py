"""How many of the routers' choices fall on each expert, and how far pruning moves them.

Shapes: B windows a pass, N blocks, E experts, K choices a token.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from lorp.architectures import Family


@dataclass(frozen=True, kw_only=True)
class ExpertLoad:
    """Choices of one model over all tokens of some windows.

    Attributes:
        checkpoint: Digest of the model.
        windows_sha256: Digest of the windows.
        choices: By block, then by expert; nothing for a block without experts.
    """

    checkpoint: str
    windows_sha256: str
    choices: tuple[tuple[int, ...], ...]


class Choices:
    """What routers have chosen while a model ran.

    Args:
        num_experts: E by block; 0 for a block without experts.
    """

    def __init__(self, num_experts: Sequence[int]) -> None:
        self._num_experts = tuple(num_experts)
        self._last: dict[int, torch.Tensor] = {}
        self._total_NE = np.zeros((len(num_experts), max(num_experts)), dtype=np.int64)

    def note(self, block: int, experts_TK: torch.Tensor) -> None:
        """Takes the experts' indices that a block's router chose in a pass, all windows' tokens one after the other."""
        self._last[block] = experts_TK
        self._total_NE[block] += self._count(experts_TK)

    def of_pass(self, num_windows: int) -> NDArray[np.int32]:
        """B x N x E, the choices in the last pass, window by window."""
        counts_BNE = np.zeros((num_windows, *self._total_NE.shape), dtype=np.int32)
        for block in self._last:
            counts_BNE[:, block] = self.of_block(block, num_windows)
        return counts_BNE

    def of_block(self, block: int, num_windows: int) -> NDArray[np.int32]:
        """B x E, the choices of one block's router the last time that it ran, window by window."""
        counts_BE = np.zeros((num_windows, self._total_NE.shape[1]), dtype=np.int32)
        if block in self._last:
            for window, of_window in enumerate(self._last[block].reshape(num_windows, -1)):
                counts_BE[window] = self._count(of_window)
        return counts_BE

    @property
    def num_blocks(self) -> int:
        """N."""
        return len(self._num_experts)

    @property
    def total(self) -> tuple[tuple[int, ...], ...]:
        """The choices in all passes, by block and expert; nothing for a block without experts."""
        return tuple(
            tuple(row[:experts].tolist()) for row, experts in zip(self._total_NE, self._num_experts, strict=True)
        )

    def _count(self, experts: torch.Tensor) -> NDArray[np.int64]:
        return np.bincount(experts.flatten().cpu().numpy(), minlength=self._total_NE.shape[1])


@contextmanager
def counting_choices(model: PreTrainedModel, family: Family) -> Iterator[Choices | None]:
    """While open, what routers choose is counted; None where no block has experts."""
    experts, blocks = family.projections.experts, list(model.get_submodule(family.blocks_path).children())
    routers = {} if experts is None else _routers(blocks, experts.router)
    if experts is None or not routers:
        yield None
        return
    sizes = [len(block.get_parameter(experts.down)) if index in routers else 0 for index, block in enumerate(blocks)]
    choices = Choices(sizes)
    with ExitStack() as hooks:
        for index, router in routers.items():
            hooks.callback(router.register_forward_hook(_noting(choices, index)).remove)
        yield choices


def _routers(blocks: Sequence[torch.nn.Module], path: str) -> dict[int, torch.nn.Module]:
    return {index: found for index, block in enumerate(blocks) if (found := dict(block.named_modules()).get(path))}


def _noting(choices: Choices, block: int) -> Callable[..., None]:
    def note(_router: torch.nn.Module, _taken: Any, given: tuple[torch.Tensor, ...]) -> None:
        choices.note(block, given[-1])

    return note


def effective_experts(choices: Sequence[int]) -> float:
    """How many equally loaded experts would be as spread out: the exponential of the entropy, 1 to E."""
    shares = [count / sum(choices) for count in choices if count]
    return math.exp(-sum(share * math.log(share) for share in shares))


def moved_share(before: Sequence[int], after: Sequence[int]) -> float:
    """The share of choices that at least fell on other experts: the total variation distance, 0 to 1."""
    pairs = zip(before, after, strict=True)
    return 0.5 * sum(abs(one / sum(before) - other / sum(after)) for one, other in pairs)
