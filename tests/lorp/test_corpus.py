"""Corpus: calibration and evaluation never share a document, and windows are drawn fairly and repeatably."""

import random
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorp.corpus import (
    Document,
    calibration_and_evaluation,
    cut_windows,
    documents_digest,
    read_documents,
    split_documents,
)
from lorp.errors import CorpusError


def tokenize(text: str) -> list[int]:
    return [ord(character) for character in text]


def documents(*lengths: int) -> list[Document]:
    """Documents of so many characters; no two characters at the same place of a document and its neighbour agree."""
    return [
        Document(id=f"document-{number}", text="".join(chr(256 + number * 10_000 + place) for place in range(length)))
        for number, length in enumerate(lengths)
    ]


def paragraphs(count: int, seed: int = 0) -> str:
    """Paragraphs of 500 random letters, two of which are never alike."""
    rng = random.Random(seed)
    return "\n\n".join("".join(rng.choices(string.ascii_lowercase, k=500)) for _ in range(count))


def text_file(folder: Path, text: str, name: str = "text.txt") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def texts(parts: Sequence[Document]) -> list[str]:
    return [document.text for document in parts]


def test_the_embedded_corpus_has_many_documents_each_once() -> None:
    found = read_documents("pydoc")
    assert len(found) >= 30
    assert len({document.id for document in found}) == len({document.text for document in found}) == len(found)
    assert found == read_documents("pydoc")


def test_a_file_is_cut_at_blank_lines_into_stretches_of_at_least_8000_characters(tmp_path: Path) -> None:
    text = paragraphs(100)
    found = read_documents(text_file(tmp_path, text))
    assert len(found) > 2
    assert all(len(document.text) >= 8_000 for document in found[:-1])
    gathered = [paragraph for document in found for paragraph in document.text.split("\n\n") if paragraph]
    assert gathered == text.split("\n\n")


def test_documents_of_a_file_are_named_after_it_without_its_folder(tmp_path: Path) -> None:
    found = read_documents(text_file(tmp_path, paragraphs(40)))
    assert len({document.id for document in found}) == len(found)
    assert all(document.id.startswith("text.txt/") for document in found)


def test_a_text_that_comes_twice_is_one_document(tmp_path: Path) -> None:
    first, second = (f"{paragraphs(16, seed)}\n\n" for seed in (1, 2))
    found = read_documents(text_file(tmp_path, first + second + first))
    assert sorted(text.strip() for text in texts(found)) == sorted([first.strip(), second.strip()])


@pytest.mark.parametrize("text", ["", " ", "\n\n \t\r\n\n", "\n" * 20_000], ids=["empty", "space", "blank", "lines"])
def test_a_file_without_text_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CorpusError, match="empty"):
        read_documents(text_file(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no text file"):
        read_documents(str(tmp_path / "nothing.txt"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no text file"):
        read_documents(str(tmp_path))


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(CorpusError, match="no UTF-8 text"):
        read_documents(str(tmp_path / "latin.txt"))


@given(lengths=st.lists(st.integers(1, 400), min_size=2, max_size=20), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_split_is_disjoint_whole_and_about_even(lengths: list[int], seed: int) -> None:
    given_documents = documents(*lengths)
    parts = split_documents(given_documents, seed)
    assert sorted(texts(parts[0]) + texts(parts[1])) == sorted(texts(given_documents))
    assert not set(texts(parts[0])) & set(texts(parts[1]))
    sizes = [sum(map(len, texts(part))) for part in parts]
    assert min(sizes) > 0
    assert abs(sizes[0] - sizes[1]) <= max(lengths)


def test_the_seed_alone_decides_the_split() -> None:
    given_documents = documents(*[50] * 20)
    assert split_documents(given_documents, 7) == split_documents(given_documents, 7)
    assert len({split_documents(given_documents, seed) for seed in range(5)}) == 5


def test_one_document_cannot_be_split() -> None:
    with pytest.raises(CorpusError, match="one document cannot be split"):
        split_documents(documents(100), 0)


def test_one_file_for_both_is_split(tmp_path: Path) -> None:
    corpus = text_file(tmp_path, paragraphs(100))
    calibration, evaluation = calibration_and_evaluation(corpus, corpus, seed=0)
    assert calibration
    assert evaluation
    assert not set(texts(calibration)) & set(texts(evaluation))
    assert sorted(texts(calibration) + texts(evaluation)) == sorted(texts(read_documents(corpus)))


def test_a_file_too_short_to_be_split_is_refused(tmp_path: Path) -> None:
    corpus = text_file(tmp_path, paragraphs(3))
    with pytest.raises(CorpusError, match="cannot be split"):
        calibration_and_evaluation(corpus, corpus, seed=0)


def test_two_files_are_used_whole_and_apart(tmp_path: Path) -> None:
    ours = text_file(tmp_path, paragraphs(40, seed=1), "ours.txt")
    theirs = text_file(tmp_path, paragraphs(40, seed=2), "theirs.txt")
    assert calibration_and_evaluation(ours, theirs, seed=0) == (read_documents(ours), read_documents(theirs))


@pytest.mark.parametrize("blank_lines", ["", "\n\n"])
def test_the_same_text_under_two_names_is_refused(tmp_path: Path, blank_lines: str) -> None:
    ours = text_file(tmp_path, paragraphs(40), "ours.txt")
    theirs = text_file(tmp_path, paragraphs(40) + blank_lines, "theirs.txt")
    with pytest.raises(CorpusError, match="share text"):
        calibration_and_evaluation(ours, theirs, seed=0)


def test_one_shared_document_is_enough_to_refuse(tmp_path: Path) -> None:
    shared = paragraphs(20, seed=1)
    ours = text_file(tmp_path, f"{shared}\n\n{paragraphs(20, seed=2)}\n\n", "ours.txt")
    theirs = text_file(tmp_path, f"{shared}\n\n{paragraphs(20, seed=3)}\n\n", "theirs.txt")
    with pytest.raises(CorpusError, match="share text"):
        calibration_and_evaluation(ours, theirs, seed=0)


def test_the_digest_of_documents_shows_any_change() -> None:
    given_documents = documents(5, 6)
    renamed = [Document(id="other", text=given_documents[0].text), given_documents[1]]
    changed = [Document(id=given_documents[0].id, text="other"), given_documents[1]]
    lists = (given_documents, given_documents[::-1], given_documents[:1], renamed, changed)
    assert len({documents_digest(listed) for listed in lists}) == len(lists)


@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    window_tokens=st.integers(2, 12),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
@settings(deadline=None)
def test_windows_are_runs_of_one_document_and_do_not_overlap(
    lengths: list[int], window_tokens: int, seed: int, data: st.DataObject
) -> None:
    available = sum(length // window_tokens for length in lengths)
    if not available:
        return
    num_windows = data.draw(st.integers(1, available))
    given_documents = documents(*lengths)
    cut = cut_windows(given_documents, tokenize, num_windows, window_tokens, seed)
    assert cut.corpus_sha256 == documents_digest(given_documents)
    assert len(cut.windows) == len({window.id for window in cut.windows}) == num_windows
    seen: set[int] = set()
    for window in cut.windows:
        assert len(window.tokens) == window_tokens
        assert not seen & set(window.tokens)
        seen |= set(window.tokens)
        (document,) = [document for document in given_documents if document.id == window.document]
        start = int(window.id.removeprefix(f"{document.id}@"))
        assert list(window.tokens) == tokenize(document.text)[start : start + window_tokens]
        assert window.text_sha256 == document.sha256


@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(deadline=None)
def test_windows_come_from_as_many_documents_as_possible(lengths: list[int], seed: int, data: st.DataObject) -> None:
    held = {f"document-{number}": length // 10 for number, length in enumerate(lengths)}
    if not any(held.values()):
        return
    num_windows = data.draw(st.integers(1, sum(held.values())))
    drawn = Counter(
        window.document for window in cut_windows(documents(*lengths), tokenize, num_windows, 10, seed).windows
    )
    most = max(drawn.values())
    assert all(drawn[document] >= min(number, most - 1) for document, number in held.items())


def test_the_first_windows_stay_when_more_are_asked_for() -> None:
    given_documents = documents(100, 40, 70)
    few = cut_windows(given_documents, tokenize, 5, 10, seed=3).windows
    assert cut_windows(given_documents, tokenize, 12, 10, seed=3).windows[:5] == few


def test_the_same_seed_gives_the_same_windows_and_another_seed_others() -> None:
    given_documents = documents(*[200] * 10)
    cuts = [cut_windows(given_documents, tokenize, 8, 10, seed) for seed in (0, 0, 1, 2)]
    assert cuts[0] == cuts[1]
    assert len(set(cuts[1:])) == 3


def test_too_little_text_says_how_many_windows_there_are() -> None:
    with pytest.raises(CorpusError, match="gives 5 windows of 10 tokens, and 6 are asked for"):
        cut_windows(documents(39, 9, 20), tokenize, 6, 10, seed=0)
    assert len(cut_windows(documents(39, 9, 20), tokenize, 5, 10, seed=0).windows) == 5


def test_no_document_gives_no_window() -> None:
    with pytest.raises(CorpusError, match="gives 0 windows"):
        cut_windows([], tokenize, 1, 10, seed=0)


@pytest.mark.parametrize("separator", ["\n\n", "\n \n", "\n"], ids=["blank line", "line of a space", "line"])
def test_a_text_is_cut_wherever_it_can_be(tmp_path: Path, separator: str) -> None:
    (tmp_path / "text.txt").write_text(separator.join(f"Number {number} of many. " * 20 for number in range(200)))
    assert len(read_documents(str(tmp_path / "text.txt"))) > 5


def test_stretches_follow_long_windows(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(f"Number {number} of many. " * 20 for number in range(400)))
    documents = read_documents(str(tmp_path / "text.txt"), window_tokens=4096)
    assert all(len(document.text) >= 4096 for document in documents[:-1])


def test_no_more_is_tokenized_than_the_windows_take() -> None:
    tokenized: list[str] = []

    def tokenize(text: str) -> list[int]:
        tokenized.append(text)
        return [ord(char) for char in text]

    documents = [Document(id=str(number), text=f"{number} " * 50) for number in range(100)]
    cut_windows(documents, tokenize, num_windows=7, window_tokens=10, seed=0)
    assert len(tokenized) == 7
