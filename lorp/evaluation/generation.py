"""Held-out prompts -> greedy continuations: whether a variant still writes, or repeats itself and falls silent.

Generation collapses before multiple choice does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lorp.corpus import Window
from lorp.evaluation.decoding import end_tokens, greedy_tokens
from lorp.feeding import prompt_of, reads_source
from lorp.progress import track
from lorp.spec import GenerationSpec

_GRAM = 4
_PROMPTS_A_BATCH = 8
_AGREEMENT_TOKENS = 16

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """What a model wrote after one prompt.

    Attributes:
        prompt: Id of the window whose beginning it is.
        document: Id of the window's document.
        prompt_text: The prompt as text.
        tokens: The new tokens, without one that ends the text.
        text: They as text.
        ended: Whether the model ended the text itself, before it was cut off.
    """

    prompt: str
    document: str
    prompt_text: str
    tokens: tuple[int, ...]
    text: str
    ended: bool

    @property
    def repetition(self) -> float:
        """Share of its 4-grams of tokens that stand in it before; 1 for an empty text, which is a collapse too."""
        grams = [self.tokens[start : start + _GRAM] for start in range(len(self.tokens) - _GRAM + 1)]
        return 1.0 if self.empty else 1 - len(set(grams)) / len(grams)

    @property
    def empty(self) -> bool:
        """Whether fewer than 4 tokens, or nothing but white space, was written."""
        return len(self.tokens) < _GRAM or not self.text.strip()


@dataclass(frozen=True, kw_only=True)
class GenerationEvaluation:
    """Continuations of one model.

    Attributes:
        checkpoint: Digest of what wrote them.
        windows_sha256: Digest of the windows that the prompts begin.
        num_expected: Prompts that were to be continued.
        continuations: One a prompt, in their order.
    """

    checkpoint: str
    windows_sha256: str
    num_expected: int
    continuations: tuple[Continuation, ...]

    def __post_init__(self) -> None:
        if not self.continuations:
            raise ValueError("nothing was continued")

    @property
    def repetition(self) -> float:
        """Mean 4-gram repetition rate."""
        return sum(item.repetition for item in self.continuations) / len(self.continuations)

    @property
    def figures(self) -> dict[str, float]:
        """Repetition rate and number of empty texts, by name."""
        return {"repetition": self.repetition, "empty": self.num_empty}

    @property
    def num_empty(self) -> int:
        """Continuations that fell silent at once."""
        return sum(item.empty for item in self.continuations)

    @property
    def num_endless(self) -> int:
        """Continuations that the model did not end itself."""
        return sum(not item.ended for item in self.continuations)


def continue_prompts(
    model: PreTrainedModel, windows: Sequence[Window], decode: Decode, spec: GenerationSpec
) -> tuple[Continuation, ...]:
    """Continues the beginnings of the first windows, one from each document before a second from any.

    An encoder-decoder makes texts of their sources, and a model that sees says something of their images.
    """
    prompts = choose_prompts(windows, spec.num_prompts)
    alone = reads_source(model) or any(window.medium for window in prompts)
    size = 1 if alone else _PROMPTS_A_BATCH
    batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    with torch.inference_mode():
        return tuple(
            continuation
            for batch in track(batches, "generate")
            for continuation in _continue(model, batch, decode, spec)
        )


def choose_prompts(windows: Sequence[Window], num_prompts: int) -> list[Window]:
    """The windows whose beginnings are continued: as many documents as possible, in the windows' order."""
    seen: dict[str, int] = {}
    rounds = []
    for window in windows:
        rounds.append(seen.get(window.document, 0))
        seen[window.document] = rounds[-1] + 1
    in_turn = sorted(range(len(windows)), key=lambda index: (rounds[index], index))
    return [windows[index] for index in in_turn[:num_prompts]]


def agreement(dense: Continuation, pruned: Continuation) -> float:
    """Share of the first 16 tokens that two continuations of one prompt have in common before they part."""
    pairs = list(zip(dense.tokens[:_AGREEMENT_TOKENS], pruned.tokens[:_AGREEMENT_TOKENS], strict=False))
    longest = max(len(dense.tokens[:_AGREEMENT_TOKENS]), len(pruned.tokens[:_AGREEMENT_TOKENS]))
    common = next((index for index, (one, other) in enumerate(pairs) if one != other), len(pairs))
    return common / longest if longest else 1.0


def _continue(
    model: PreTrainedModel, windows: Sequence[Window], decode: Decode, spec: GenerationSpec
) -> list[Continuation]:
    ends = end_tokens(model)
    prompted = prompt_of(windows, model, spec.prompt_tokens)
    rows: list[list[int]] = [[] for _ in windows]
    for _, next_B in zip(range(spec.max_new_tokens), greedy_tokens(model, prompted), strict=False):
        for row, token in zip(rows, next_B.tolist(), strict=True):
            row.append(token)
        if all(ends.intersection(row) for row in rows):
            break
    return [
        _continuation(window, _shown(window, spec), row, decode, ends)
        for window, row in zip(windows, rows, strict=True)
    ]


def _shown(window: Window, spec: GenerationSpec) -> Sequence[int]:
    """What a reader sees of a prompt: of a sound or an image nothing."""
    return () if window.medium else window.source or window.tokens[: spec.prompt_tokens]


def _continuation(
    window: Window, prompt: Sequence[int], row: list[int], decode: Decode, ends: frozenset[int]
) -> Continuation:
    length = next((index for index, token in enumerate(row) if token in ends), len(row))
    return Continuation(
        prompt=window.id,
        document=window.document,
        prompt_text=decode(prompt),
        tokens=tuple(row[:length]),
        text=decode(row[:length]),
        ended=length < len(row),
    )
