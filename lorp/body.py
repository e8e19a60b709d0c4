"""A loaded model's body, run block by block on states that the caller holds.

Shapes: B windows, T tokens a window, D hidden size, V vocabulary.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import torch
from transformers import PreTrainedModel

from lorp.architectures import Family
from lorp.architectures.blocks import num_used_of
from lorp.feeding import Feed
from lorp.streaming import held

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_Forward = Callable[..., torch.Tensor | tuple[Any, ...]]


class _Noted(Exception):
    """All that blocks are given has passed; what comes after them need not run."""


class Body:
    """What comes before the blocks, each block by itself, and what comes after them.

    What a block is given beside the state is asked for before the blocks run: masks and rotary embeddings, which follow
    from the windows' shape alone; in a decoder with an encoder also what that makes of the source, and with an image
    where its parts are. Everything is done by the model's own code.
    """

    def __init__(self, model: PreTrainedModel, family: Family) -> None:
        self._model = model
        self._family = family
        self.blocks: Any = model.get_submodule(family.blocks_path)
        self._arguments: dict[Hashable, list[_Arguments]] = {}

    @property
    def num_blocks(self) -> int:
        """N."""
        return len(self.blocks)

    @property
    def num_used(self) -> int:
        """Blocks from which what the model says follows, as `num_used_of` says; raises as that does."""
        return num_used_of(self._family, vars(self._model.config), self.num_blocks)

    @property
    def device(self) -> torch.device:
        """Where states live."""
        return self._model.device

    def embedded(self, feed: Feed) -> torch.Tensor:
        """The state that enters the first block, B x T x D."""
        states: list[torch.Tensor] = []
        arguments: list[_Arguments] = []
        handed_on: list[Any] = []

        def noting(block: int, own: _Forward) -> _Forward:
            def note(state_BTD: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor | tuple[Any, ...]:
                states.append(state_BTD)
                arguments.append((more, named))
                if block == 0 and self._family.hands_on:
                    handed_on.extend(own(state_BTD, *more, **named)[1:])
                if block == self.num_blocks - 1:
                    raise _Noted
                return given_by(self._family, state_BTD, handed_on)

            return note

        with self._replaced(noting), suppress(_Noted):
            self._model.base_model(**feed.inputs, use_cache=False)
        self._arguments[_key(feed)] = arguments
        return states[0]

    def step(
        self, block: int, state_BTD: torch.Tensor, feed: Feed, module: torch.nn.Module | None = None
    ) -> torch.Tensor:
        """The state that leaves a block, given that which enters it.

        Args:
            block: Its index.
            state_BTD: What enters.
            feed: What the model was given, which must have been embedded, or another of its shape.
            module: A module to run in its place.
        """
        more, named = self._arguments[_key(feed)][block]
        return state_in(self._family, (module or self.blocks[block])(state_BTD, *more, **named))

    def step_all(self, block: int, states: Sequence[torch.Tensor], feeds: Sequence[Feed]) -> list[torch.Tensor]:
        """The states that leave a block, given those which enter it; its weights are read once for all of them."""
        with self.held(block):
            return [self.step(block, state_BTD, feed) for state_BTD, feed in zip(states, feeds, strict=True)]

    def logits(self, feed: Feed, state_BTD: torch.Tensor) -> torch.Tensor:
        """What the model says, B x T x V, where this state leaves the last block that is used."""
        nothing = [None] * self._family.hands_on

        def giving(_block: int, _own: _Forward) -> _Forward:
            return lambda *_, **__: given_by(self._family, state_BTD, nothing)

        with self._replaced(giving):
            said: torch.Tensor = self._model(**feed.inputs, use_cache=False).logits
        return said

    def held(self, block: int) -> AbstractContextManager[None]:
        """While open, a block's weights are in memory, however often it runs."""
        return held(self.blocks[block])

    @contextmanager
    def _replaced(self, forward_of: Callable[[int, _Forward], _Forward]) -> Iterator[None]:
        """While open, blocks compute something else."""
        own = [vars(block).get("forward") for block in self.blocks]
        for index, block in enumerate(self.blocks):
            block.forward = forward_of(index, block.forward)
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


def by_window(state: torch.Tensor, num_windows: int) -> torch.Tensor:
    """A state as B x T x D; of an image alone it may have no B, or a part of the image each."""
    return state if state.ndim == 3 and len(state) == num_windows else state.reshape(num_windows, -1, state.shape[-1])


def given_by(family: Family, state_BTD: torch.Tensor, handed_on: Sequence[Any] = ()) -> torch.Tensor | tuple[Any, ...]:
    """What a block gives that leaves this state, and hands this on to the next."""
    return (state_BTD, *handed_on) if family.gives_tuples else state_BTD


def _key(feed: Feed) -> Hashable:
    """What blocks are given beside the state is the same for all with this key."""
    return feed.tokens_BT.shape if feed.by_shape else feed
