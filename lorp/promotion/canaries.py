"""A model + the canaries of a policy -> its greedy continuations, judged."""

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from lorp.evaluation.decoding import end_tokens, greedy_tokens, text_prompt
from lorp.progress import track
from lorp.promotion.decision import CanaryAnswer
from lorp.promotion.policy import Canary


def answer(
    model: PreTrainedModel,
    canaries: Sequence[Canary],
    encode: Callable[[str], Sequence[int]],
    decode: Callable[[Sequence[int]], str],
    max_new_tokens: int,
) -> tuple[CanaryAnswer, ...]:
    """Continues each prompt until the model ends the text or the limit is reached.

    Args:
        model: As it ships.
        canaries: What to ask.
        encode: A prompt as tokens, at least one.
        decode: Tokens as text.
        max_new_tokens: The limit.
    """
    ends = end_tokens(model)
    answers = []
    with torch.inference_mode():
        for canary in track(canaries, "canaries"):
            text = decode(_continued(model, encode(canary.prompt), ends, max_new_tokens))
            answers.append(CanaryAnswer(prompt=canary.prompt, text=text, passed=canary.passes(text)))
    return tuple(answers)


def _continued(model: PreTrainedModel, prompt: Sequence[int], ends: frozenset[int], limit: int) -> list[int]:
    tokens: list[int] = []
    for _, next_B in zip(range(limit), greedy_tokens(model, text_prompt(model, [prompt])), strict=False):
        if int(next_B) in ends:
            break
        tokens.append(int(next_B))
    return tokens
