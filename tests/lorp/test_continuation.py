"""The questions that are made of evaluation text: one true continuation among four passages of one document."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorp.corpus import Window
from lorp.errors import CorpusError
from lorp.evaluation.downstream.continuation import Passage, continuation_questions, window_passages
from lorp.evaluation.downstream.questions import Question

words = st.text(alphabet="abcdefghij", min_size=1, max_size=3)
texts = st.lists(st.tuples(words, st.sampled_from([" ", " ", " ", "\n\n", "  "])), min_size=30, max_size=150).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


def passages(*documents: list[str]) -> list[Passage]:
    return [
        Passage(id=f"d{number}@{index}", document=f"d{number}", text=text)
        for number, document in enumerate(documents)
        for index, text in enumerate(document)
    ]


def numbered(num_words: int, start: int = 0) -> str:
    """A text of which no two words are equal."""
    return " ".join(f"w{number}" for number in range(start, start + num_words))


def place(question: Question, given_: list[Passage]) -> tuple[Passage, int]:
    """The passage of a question, and where its true continuation begins there."""
    id_, offset = question.item.rsplit("+", 1)
    return next(passage for passage in given_ if passage.id == id_), int(offset)


def numbers(text: str) -> set[int]:
    return {int(word[1:]) for word in text.split()}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=3), st.integers(0, 9))
def test_of_four_different_choices_one_goes_on(documents: list[list[str]], seed: int) -> None:
    given_ = passages(*documents)
    try:
        made = continuation_questions(given_, None, seed)
    except CorpusError:
        return
    for question in made.questions:
        passage, offset = place(question, given_)
        truth = question.continuations[question.label]
        assert passage.text.startswith(truth, offset)
        assert passage.text[:offset].endswith(question.contexts[0])
        assert question.contexts[0]
        assert len(set(question.continuations)) == 4
        assert len({len(choice.split()) for choice in question.continuations}) == 1
        own = [other.text for other in given_ if other.document == question.cluster]
        assert all(any(choice in text for text in own) for choice in question.continuations)
        assert all(choice[0] == " " and not choice[1].isspace() for choice in question.continuations)
        assert question.lengths == tuple(len(choice.strip()) for choice in question.continuations)
    assert continuation_questions(given_, None, seed) == made


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 300), st.integers(0, 99))
def test_nothing_of_a_question_overlaps(num_words: int, seed: int) -> None:
    for question in continuation_questions(passages([numbered(num_words)]), None, seed).questions:
        parts = [numbers(text) for text in (question.contexts[0], *question.continuations)]
        assert len(set.union(*parts)) == sum(map(len, parts))


def test_a_window_gives_two_questions_of_32_and_16_words() -> None:
    questions = continuation_questions(passages([numbered(170)]), None, 0).questions
    assert len(questions) == 2
    assert {len(question.contexts[0].split()) for question in questions} == {32}
    assert {len(choice.split()) for question in questions for choice in question.continuations} == {16}
    assert questions[0].cluster == "d0"


def test_words_that_a_window_may_cut_apart_are_in_no_question() -> None:
    for question in continuation_questions(passages([numbered(24)]), None, 0).questions:
        assert {0, 23}.isdisjoint(numbers("".join((question.contexts[0], *question.continuations))))


def test_false_choices_come_from_other_windows_of_the_same_document() -> None:
    given_ = passages([numbered(170), numbered(170, 1000)], [numbered(170, 5000)])
    sources = Counter(
        min(numbers(choice)) // 1000
        for question in continuation_questions(given_, None, 0).questions
        if question.cluster == "d0"
        for choice in question.continuations
    )
    assert set(sources) == {0, 1}


def test_every_document_has_its_turn_before_the_limit() -> None:
    given_ = passages(*([numbered(170, 1000 * number)] for number in range(5)))
    assert len({question.cluster for question in continuation_questions(given_, 5, 0).questions}) == 5
    assert len(continuation_questions(given_, None, 0).questions) == 10
    assert continuation_questions(given_, 7, 0).questions == continuation_questions(given_, None, 0).questions[:7]


def test_the_seed_chooses() -> None:
    given_ = passages(*([numbered(170, 1000 * number)] for number in range(5)))
    made = [continuation_questions(given_, None, seed) for seed in (0, 1)]
    assert made[0] != made[1]
    labels = Counter(
        question.label for seed in range(40) for question in continuation_questions(given_, None, seed).questions
    )
    assert all(60 < labels[label] < 140 for label in range(4)), labels


@pytest.mark.parametrize(
    "text", ["", "word", "one two three four", "same " * 200, "\n".join(numbered(200).split())],
    ids=["nothing", "a word", "four words", "one word over and over", "no two words on a line"],
)  # fmt: skip
def test_text_without_four_choices_is_refused(text: str) -> None:
    with pytest.raises(CorpusError, match=r"too short for the task continuation\. Evaluate longer windows"):
        continuation_questions(passages([text]), None, 0)


def test_passages_are_the_windows_texts() -> None:
    window = Window(id="a@4", document="a", text_sha256="0", tokens=(104, 105))
    assert window_passages([window], lambda tokens: bytes(tokens).decode()) == (
        Passage(id="a@4", document="a", text="hi"),
    )
