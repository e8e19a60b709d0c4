"""A loaded model's body, run block by block on states that the caller holds.

Shapes: B windows, T tokens a window, D hidden size, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from lorp.architectures import Family
from lorp.corpus import Window
from lorp.streaming import held

_TOKENS_A_PASS = 512

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_Forward = Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]


class Body:
    """What comes before the blocks, each block by itself, and what comes after them.

    What a block is given beside the state (masks, rotary embeddings) follows from the windows' shape alone, so it is
    asked for once a shape. Everything is done by the model's own code.
    """

    def __init__(self, model: PreTrainedModel, family: Family) -> None:
        self._model = model
        self._family = family
        self.blocks: Any = model.get_submodule(family.blocks_path)
        self._arguments: dict[torch.Size, list[_Arguments]] = {}

    @property
    def num_blocks(self) -> int:
        """N."""
        return len(self.blocks)

    @property
    def device(self) -> torch.device:
        """Where states live."""
        return self._model.device

    def embedded(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """The state that enters the first block, B x T x D."""
        states: list[torch.Tensor] = []
        arguments: list[_Arguments] = []

        def noting(_block: int) -> _Forward:
            def note(state_BTD: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor | tuple[torch.Tensor, ...]:
                states.append(state_BTD)
                arguments.append((more, named))
                return given_by(self._family, state_BTD)

            return note

        with self._replaced(noting):
            self._model.base_model(input_ids=tokens_BT, use_cache=False)
        self._arguments[tokens_BT.shape] = arguments
        return states[0]

    def step(self, block: int, state_BTD: torch.Tensor, module: torch.nn.Module | None = None) -> torch.Tensor:
        """The state that leaves a block, given that which enters it; windows of this shape must have been embedded.

        Args:
            block: Its index.
            state_BTD: What enters.
            module: A module to run in its place.
        """
        more, named = self._arguments[state_BTD.shape[:2]][block]
        return state_in(self._family, (module or self.blocks[block])(state_BTD, *more, **named))

    def step_all(self, block: int, states: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """The states that leave a block, given those which enter it; its weights are read once for all of them."""
        with self.held(block):
            return [self.step(block, state_BTD) for state_BTD in states]

    def logits(self, tokens_BT: torch.Tensor, state_BTD: torch.Tensor) -> torch.Tensor:
        """What the model says, B x T x V, where this state leaves its last block."""

        def giving(_block: int) -> _Forward:
            return lambda *_, **__: given_by(self._family, state_BTD)

        with self._replaced(giving):
            said: torch.Tensor = self._model(input_ids=tokens_BT, use_cache=False).logits
        return said

    def held(self, block: int) -> AbstractContextManager[None]:
        """While open, a block's weights are in memory, however often it runs."""
        return held(self.blocks[block])

    @contextmanager
    def _replaced(self, forward_of: Callable[[int], _Forward]) -> Iterator[None]:
        """While open, blocks compute something else."""
        own = [vars(block).get("forward") for block in self.blocks]
        for index, block in enumerate(self.blocks):
            block.forward = forward_of(index)
        try:
            yield
        finally:
            for block, forward in zip(self.blocks, own, strict=True):
                del block.forward
                if forward:
                    block.forward = forward


def state_in(family: Family, given: Any) -> torch.Tensor:
    """The state in what a block gives."""
    state_BTD: torch.Tensor = given[0] if family.gives_tuples else given
    return state_BTD


def given_by(family: Family, state_BTD: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """What a block gives that leaves this state."""
    return (state_BTD,) if family.gives_tuples else state_BTD


def batches(windows: Sequence[Window], device: torch.device) -> list[torch.Tensor]:
    """Windows' tokens, B x T each: neighbours of equal length share a pass as long as they are short."""
    together: list[list[tuple[int, ...]]] = []
    for window in windows:
        length = len(window.tokens)
        if together and len(together[-1][0]) == length and (len(together[-1]) + 1) * length <= _TOKENS_A_PASS:
            together[-1].append(window.tokens)
        else:
            together.append([window.tokens])
    return [torch.tensor(batch, device=device) for batch in together]
