"""Plans -> what each costs, by running the model's blocks; what plans have in common is run once.

Removing a block changes nothing before it, so a plan is run from where it leaves a plan that was run before: the dense
model, or the one that the search has settled on. States of the dense model at all boundaries are held, W x T x D each.

Shapes: B windows that share a pass, T tokens a window, D hidden size, F inputs of a map.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from transformers import PreTrainedModel

from lorp.body import Body
from lorp.checkpoint import Checkpoint
from lorp.corpus.uses import ConfirmWindows, MendWindows, ScoreWindows
from lorp.evaluation.perplexity import mean_loss
from lorp.feeding import Feed, feeds
from lorp.healing.normal_equations import NormalEquations, no_tokens
from lorp.healing.sites import look, mlp_write_of, with_ones

#: How strongly fits are held back while plans are compared; healing proper chooses on windows of its own.
MEND_RIDGE = 0.05

Removed = tuple[int, ...]


class Trials(Protocol):
    """What plans cost."""

    def losses(self, removed: Collection[int], mended: bool) -> tuple[float, ...]:
        """Loss a window, in nats, without these blocks; infinity where it is not finite.

        Args:
            removed: Blocks to do without.
            mended: Whether the MLP before each gap is refitted first, which takes blocks that write freely.
        """

    def settle(self, removed: Collection[int], mended: bool) -> None:
        """Says that plans asked for from now on will be much like this one."""


@dataclass(frozen=True)
class _Pass:
    """Windows that share a pass."""

    feed: Feed
    scored: bool


#: A state for each pass, B x T x D; None where a pass only mends, and nothing is mended, or nothing more.
_States = list[torch.Tensor | None]


class ModelTrials:
    """Trials on a loaded model, which must not change meanwhile.

    Args:
        model: The dense model.
        checkpoint: Where it comes from.
        mend: Windows that mending is fitted on.
        score: Windows whose losses are asked for.
    """

    def __init__(
        self, model: PreTrainedModel, checkpoint: Checkpoint, mend: MendWindows, score: ScoreWindows | ConfirmWindows
    ) -> None:
        self._body = Body(model, checkpoint.family)
        self._projections = checkpoint.family.projections
        self._passes = [_Pass(feed, False) for feed in feeds(mend.windows, model)]
        self._passes += [_Pass(feed, True) for feed in feeds(score.windows, model)]
        self._dense = self._dense_states()
        self._settled: dict[tuple[int, Removed, bool], _States] = {}

    def losses(self, removed: Collection[int], mended: bool) -> tuple[float, ...]:
        """Loss a window, in nats, without these blocks; infinity where it is not finite."""
        with torch.inference_mode():
            states = self._run(tuple(sorted(removed)), mended, keep=False)
            return tuple(
                loss for part, state in zip(self._passes, states, strict=True) for loss in self._loss(part, state)
            )

    def settle(self, removed: Collection[int], mended: bool) -> None:
        """Holds the states along this plan, in place of those of the plan before."""
        self._settled.clear()
        with torch.inference_mode():
            self._run(tuple(sorted(removed)), mended, keep=True)

    def _dense_states(self) -> list[_States]:
        """By boundary, 0 to N."""
        with torch.inference_mode():
            states: list[_States] = [[self._body.embedded(part.feed) for part in self._passes]]
            for block in range(self._body.num_used):
                states.append(self._step_all(block, states[-1]))
        return states

    def _run(self, removed: Removed, mended: bool, keep: bool) -> _States:
        """The states that leave the last kept block."""
        block, states = self._start(removed, mended)
        while block < self._body.num_used:
            following = _following(block, removed, self._body.num_used)
            if not keep and block > max(removed, default=-1):
                states = self._scored_only(states)
            if mended and following > block + 1:
                with self._body.held(block):
                    states = self._mended_step(block, following, states)
            else:
                states = self._step_all(block, states)
            block = following
            if keep:
                self._settled[block, _before(block, removed), mended] = states
        return states

    def _start(self, removed: Removed, mended: bool) -> tuple[int, _States]:
        """The deepest kept block, or the end, before which this plan is like one whose states are held, and those."""
        end = self._body.num_used
        for block in (end, *reversed([block for block in range(end) if block not in removed])):
            before = _before(block, removed)
            if not before:
                parts = zip(self._passes, self._dense[block], strict=True)
                return block, [state if part.scored or mended else None for part, state in parts]
            if (block, before, mended) in self._settled:
                return block, self._settled[block, before, mended]
        raise AssertionError("the first block is never removed")

    def _scored_only(self, states: _States) -> _States:
        """Past the last gap nothing is mended any more."""
        return [state if part.scored else None for part, state in zip(self._passes, states, strict=True)]

    def _step_all(self, block: int, states: _States) -> _States:
        with self._body.held(block):
            return [
                None if state is None else self._step(block, part, state)
                for part, state in zip(self._passes, states, strict=True)
            ]

    def _step(self, block: int, part: _Pass, state_BTD: torch.Tensor | None) -> torch.Tensor:
        assert state_BTD is not None
        return self._body.step(block, state_BTD, part.feed)

    def _leave(self, block: int, part: _Pass, state_BTD: torch.Tensor | None, left: list[torch.Tensor]) -> None:
        left.append(self._step(block, part, state_BTD))

    def _mended_step(self, block: int, following: int, states: _States) -> _States:
        """Runs a block whose MLP makes up, as well as a linear map can, for the blocks after it that are gone."""
        module = self._body.blocks[block]
        site = mlp_write_of(self._projections, module)
        left: list[torch.Tensor] = []
        inputs: list[torch.Tensor] = []
        sums: NormalEquations | None = None
        for part, state, wanted_BTD in zip(self._passes, states, self._dense[following], strict=True):
            [seen] = look(module, [site], partial(self._leave, block, part, state, left), to_the_end=True)
            inputs_TF = (seen.given if site.summed else seen.taken).float()
            inputs.append(with_ones(inputs_TF) if site.biased else inputs_TF)
            if part.scored:
                continue
            assert wanted_BTD is not None
            wanted_TD, have_TD = (states_BTD.flatten(0, -2).float() for states_BTD in (wanted_BTD, left[-1]))
            sums = sums or no_tokens(inputs[-1].shape[1], wanted_TD.shape[1], self._body.device)
            sums.add(inputs[-1], wanted_TD - have_TD, 1 / torch.linalg.vector_norm(wanted_TD, dim=-1))
        if not sums or not sums.finite:
            return list(left)
        map_FD = sums.solve(MEND_RIDGE).float()
        return [
            state_BTD + (inputs_TF @ map_FD).view_as(state_BTD).to(state_BTD.dtype)
            for state_BTD, inputs_TF in zip(left, inputs, strict=True)
        ]

    def _loss(self, part: _Pass, state_BTD: torch.Tensor | None) -> list[float]:
        if not part.scored or state_BTD is None:
            return []
        return [mean_loss(*said) for said in part.feed.said_of(self._body.logits(part.feed, state_BTD))]


def _following(block: int, removed: Removed, num_blocks: int) -> int:
    """The next kept block, or N."""
    return next((later for later in range(block + 1, num_blocks) if later not in removed), num_blocks)


def _before(block: int, removed: Removed) -> Removed:
    return tuple(gone for gone in removed if gone < block)
