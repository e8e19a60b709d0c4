"""Shared text: copies are found however they are dressed, and what any two texts have in common is not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import words

from lorp.corpus import Document, overlap
from lorp.corpus.overlap import BOILERPLATE_DOCUMENTS, MAX_SHARE, overlapping


def named(*given_texts: str) -> list[Document]:
    return [Document(id=str(number), text=text) for number, text in enumerate(given_texts)]


def shares(calibration: list[str], evaluation: list[str]) -> dict[str, float]:
    return {document.id: share for document, share in overlapping(named(*calibration), named(*evaluation))}


def test_texts_that_have_nothing_in_common_do_not_overlap() -> None:
    assert shares([words(2_000, seed) for seed in range(5)], [words(2_000, seed) for seed in range(5, 10)]) == {}


@given(
    text=st.text(st.characters(categories=["L", "Nd"]), min_size=60, max_size=400),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_a_copy_is_found_however_it_is_broken_into_lines(text: str, seed: int) -> None:
    rng = random.Random(seed)
    dressed = "".join(letter + rng.choice(["", "", "", " ", "\n", ", ", "-\n"]) for letter in text)
    assert shares([text], [dressed]) == shares([dressed], [text]) == {"0": 1.0}


@pytest.mark.parametrize(("copied", "found"), [(0.1, False), (0.15, False), (0.25, True), (0.6, True)])
def test_a_fifth_of_a_document_may_be_shared(copied: float, found: bool) -> None:
    assert 0.15 < MAX_SHARE < 0.25
    theirs = words(2_000, seed=1)
    middle = int(len(theirs) * copied)
    overlap = shares([words(3_000, seed=2) + theirs[1_000 : 1_000 + middle] + words(3_000, seed=3)], [theirs])
    assert bool(overlap) is found
    assert list(overlap.values()) == ([pytest.approx(copied, abs=0.05)] if found else [])


def test_pieces_from_several_documents_add_up() -> None:
    theirs = words(2_000)
    pieces = [theirs[start : start + 1_200] + words(500, start + 1) for start in (0, 4_000, 8_000)]
    assert shares(pieces[:1], [theirs]) == {}
    assert shares(pieces, [theirs])


def test_boilerplate_is_not_counted_until_it_is_nearly_all() -> None:
    licence = words(150, seed=99)
    ours = [licence + words(150, seed) for seed in range(BOILERPLATE_DOCUMENTS)]
    assert shares(ours, [licence + words(150, 50)]) == {}
    assert shares(ours[: BOILERPLATE_DOCUMENTS - 2], [licence + words(150, 50)])
    assert shares(ours, [licence + words(10, 50)])


def test_a_licences_header_in_a_stretch_of_a_text_is_not_enough() -> None:
    header = words(100, seed=99)
    assert shares([header + words(1_500, 1)], [header + words(1_500, 2)]) == {}


def test_short_documents_are_found_only_when_there_are_enough_letters_to_tell() -> None:
    assert shares(["a b c d " * 20], ["A, b, c, d, " * 20])
    assert shares(["Thank you very much."], ["Thank you very much."]) == {}
    assert shares([], ["a" * 80]) == {}
    assert shares(["a" * 80], []) == {}


@pytest.mark.parametrize(("letters", "found"), [(49, False), (70, True)])
def test_only_runs_of_50_letters_count(letters: int, found: bool) -> None:
    shared = [words(40, seed).replace(" ", "")[:letters] for seed in range(100)]
    assert bool(shares(["1".join(shared)], ["2".join(shared)])) is found


def evaluated(count: int) -> dict[str, float]:
    """Documents of 60 letters, each with 55 of those from a calibration document."""
    shared = [words(40, seed).replace(" ", "")[:55] for seed in range(count)]
    return shares([f"{piece} and more {piece[::-1]}" for piece in shared], [f"{piece}12345" for piece in shared])


def test_no_short_piece_is_missed() -> None:
    assert len(evaluated(200)) == 200


def test_of_much_text_a_sample_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_SAMPLED_CHARACTERS", 10_000)
    assert 0 < len(evaluated(200)) < 200
    copied = words(2_000)
    assert shares([copied + words(2_000, 1)], [copied + words(10, 2)])
