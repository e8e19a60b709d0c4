"""Continuations: what greedy decoding writes, and the rates that tell a collapse."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GenerationConfig

from lorp.corpus import Window
from lorp.evaluation.decoding import end_tokens
from lorp.evaluation.generation import Continuation, agreement, choose_prompts, continue_prompts
from lorp.spec import GenerationSpec

SPEC = GenerationSpec(num_prompts=10, prompt_tokens=6, max_new_tokens=12)


def window(number: int, document: str = "d") -> Window:
    tokens = tuple((7 * number + 3 * place) % 254 + 2 for place in range(16))
    return Window(id=f"{document}@{number}", document=document, text_sha256="s", tokens=tokens)


def written(*tokens: int, text: str = "text") -> Continuation:
    return Continuation(prompt="p", document="d", prompt_text="", tokens=tokens, text=text, ended=False)


def spelled(tokens: object) -> str:
    return ",".join(map(str, tokens))  # type: ignore[call-overload]


@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "repetition_penalty": 9.0, "max_length": 7}])
def test_tokens_are_those_of_transformers_greedy_search_whatever_the_checkpoint_asks(
    pico: Path, settings: dict[str, object]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(pico).eval()
    windows = [window(number) for number in range(10)]
    plain = GenerationConfig(max_new_tokens=12, do_sample=False, eos_token_id=1, pad_token_id=0)
    prompts = torch.tensor([entry.tokens[:6] for entry in windows])
    model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0)
    expected = [model.generate(row[None], generation_config=plain)[0, 6:].tolist() for row in prompts]
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    for entry, row in zip(continue_prompts(model, windows, spelled, SPEC), expected, strict=True):
        ended = row[-1] == 1
        assert entry.tokens == tuple(row[:-1] if ended else row)
        assert entry.ended == ended
        assert entry.text == spelled(entry.tokens)


def test_a_text_ends_at_the_model_s_end_token(pico: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(pico).eval()
    [free] = continue_prompts(model, [window(0)], spelled, SPEC)
    stop = free.tokens[4]
    model.generation_config.eos_token_id = [stop, 1]
    [ended] = continue_prompts(model, [window(0)], spelled, SPEC)
    assert end_tokens(model) == {stop, 1}
    assert ended.ended
    assert ended.tokens == free.tokens[: free.tokens.index(stop)]


def test_prompts_come_from_as_many_documents_as_possible() -> None:
    windows = [window(0, "a"), window(1, "a"), window(2, "b"), window(3, "a"), window(4, "c")]
    assert [entry.id for entry in choose_prompts(windows, 4)] == ["a@0", "b@2", "c@4", "a@1"]
    assert len(choose_prompts(windows, 9)) == 5


# 4-grams of 1 2 3 4 1 2 3 4 1: 1234 2341 3412 4123 1234 2341: 4 of 6 are new.
@pytest.mark.parametrize(
    ("tokens", "rate"),
    [
        ((1, 2, 3, 4, 1, 2, 3, 4, 1), 1 - 4 / 6),
        ((5,) * 20, 1 - 1 / 17),
        (tuple(range(20)), 0.0),
    ],
)
def test_repetition_worked_by_hand(tokens: tuple[int, ...], rate: float) -> None:
    assert written(*tokens).repetition == pytest.approx(rate)


@pytest.mark.parametrize(("text", "tokens"), [("", ()), (" \n\t", (1, 2, 3, 4, 5)), (".", (1,)), ("a b c", (1, 2, 3))])
def test_silence_is_a_collapse_and_not_free_of_repetition(text: str, tokens: tuple[int, ...]) -> None:
    assert written(*tokens, text=text).empty
    assert written(*tokens, text=text).repetition == 1.0


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_agreement_is_the_share_of_a_common_beginning(one: list[int], other: list[int]) -> None:
    value = agreement(written(*one), written(*other))
    assert 0 <= value <= 1
    assert value == agreement(written(*other), written(*one))
    assert agreement(written(*one), written(*one)) == 1.0


def test_agreement_worked_by_hand() -> None:
    assert agreement(written(1, 2, 3, 4), written(1, 2, 9, 4)) == 0.5
    assert agreement(written(), written(1, 2)) == 0.0
    assert agreement(written(*range(40)), written(*range(16), 99)) == 1.0
