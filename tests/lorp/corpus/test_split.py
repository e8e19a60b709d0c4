"""The two uses: disjoint documents, and no text of one in the other, however it is wrapped or named."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import documents, paragraphs, text_file, texts, words

from lorp.corpus import Document
from lorp.corpus.local import read_local
from lorp.corpus.split import calibration_and_evaluation, split_documents
from lorp.errors import CorpusError
from lorp.spec import CalibrationSpec, EvaluationSpec

Parts = tuple[tuple[Document, ...], tuple[Document, ...]]


def together(ours: str | list[str], theirs: str | list[str], **asked: object) -> Parts:
    corpora = [tuple([names] if isinstance(names, str) else names) for names in (ours, theirs)]
    calibration = CalibrationSpec.model_validate({"corpora": corpora[0], **asked})
    return calibration_and_evaluation(calibration, EvaluationSpec.model_validate({"corpora": corpora[1], **asked}))


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
    calibration, evaluation = together(corpus, corpus)
    assert calibration
    assert evaluation
    assert not set(texts(calibration)) & set(texts(evaluation))
    assert sorted(texts(calibration) + texts(evaluation)) == sorted(texts(read_local(corpus)))


def test_a_file_too_short_to_be_split_is_refused(tmp_path: Path) -> None:
    corpus = text_file(tmp_path, paragraphs(3))
    with pytest.raises(CorpusError, match="cannot be split"):
        together(corpus, corpus)


def test_two_files_are_used_whole_and_apart(tmp_path: Path) -> None:
    ours = text_file(tmp_path, paragraphs(40, seed=1), "ours.txt")
    theirs = text_file(tmp_path, paragraphs(40, seed=2), "theirs.txt")
    assert together(ours, theirs) == (read_local(ours), read_local(theirs))


@pytest.mark.parametrize("blank_lines", ["", "\n\n"])
def test_the_same_text_under_two_names_is_refused(tmp_path: Path, blank_lines: str) -> None:
    ours = text_file(tmp_path, paragraphs(40), "ours.txt")
    theirs = text_file(tmp_path, paragraphs(40) + blank_lines, "theirs.txt")
    with pytest.raises(CorpusError, match="share text"):
        together(ours, theirs)


def test_one_shared_document_is_enough_to_refuse(tmp_path: Path) -> None:
    shared = paragraphs(20, seed=1)
    ours = text_file(tmp_path, f"{shared}\n\n{paragraphs(20, seed=2)}\n\n", "ours.txt")
    theirs = text_file(tmp_path, f"{shared}\n\n{paragraphs(20, seed=3)}\n\n", "theirs.txt")
    with pytest.raises(CorpusError, match="share text"):
        together(ours, theirs)


def rows_file(folder: Path, rows: list[str], name: str) -> str:
    return text_file(folder, "".join(json.dumps({"text": row}) + "\n" for row in rows), name)


def test_a_copy_with_other_line_breaks_case_and_punctuation_is_refused(tmp_path: Path) -> None:
    given_words = words(4_000).split()
    lines = [" ".join(given_words[start : start + 11]) for start in range(0, len(given_words), 11)]
    rewrapped = [" ".join(given_words[start : start + 7]).upper() + "," for start in range(0, len(given_words), 7)]
    ours, theirs = text_file(tmp_path, "\n".join(lines), "a.txt"), text_file(tmp_path, "\n".join(rewrapped), "b.md")
    with pytest.raises(CorpusError, match=r"share text: \d+% of evaluation document text/1"):
        together(ours, theirs)


def test_corpora_that_share_only_some_are_refused(tmp_path: Path) -> None:
    one, two = (text_file(tmp_path, paragraphs(40, seed), f"{seed}.txt") for seed in (1, 2))
    with pytest.raises(CorpusError, match=r"share .*2\.txt, but not all"):
        together([one, two], two)


def test_the_same_corpora_in_any_order_are_split(tmp_path: Path) -> None:
    one, two = (text_file(tmp_path, paragraphs(40, seed), f"{seed}.txt") for seed in (1, 2))
    parts = together([one, two], [two, one, two])
    assert parts == together([one, two], [one, two])
    found = [document.id for part in parts for document in part]
    assert sorted(texts(parts[0]) + texts(parts[1])) == sorted(texts(read_local(one)) + texts(read_local(two)))
    assert len(found) == len(set(found))
    assert {name.split("/")[0] for name in found} == {"1:text", "2:text"}


def test_several_corpora_hold_each_text_once(tmp_path: Path) -> None:
    one = rows_file(tmp_path, ["same " * 60, "other " * 60], "one.jsonl")
    two = rows_file(tmp_path, ["same " * 60, "third " * 60], "two.jsonl")
    assert [document.id for document in together([one, two], "pydoc")[0]] == ["1:rows/1", "1:rows/2", "2:rows/2"]


@pytest.mark.parametrize("seed", range(4))
def test_copies_within_a_corpus_do_not_straddle_the_split(tmp_path: Path, seed: int) -> None:
    rows = [words(200, number) for number in range(12)]
    copies = [row.title() + "." for row in rows[:6]]
    parts = together(*[rows_file(tmp_path, rows + copies, "rows.jsonl")] * 2, seed=seed, window_tokens=32)
    held = [{document.text.lower().rstrip(".") for document in part} for part in parts]
    assert not held[0] & held[1]
    assert held[0]
    assert held[1]


def test_the_standard_librarys_topics_quote_each_other_and_are_kept_apart() -> None:
    calibration, evaluation = together("pydoc", "pydoc", packing="packed")
    squeezed = "".join("".join(texts(calibration)).split())
    assert len(evaluation) >= 15
    assert not [document.id for document in evaluation if "".join(document.text.split()) in squeezed]


def test_documents_too_short_to_give_a_window_are_not_compared(tmp_path: Path) -> None:
    shared, long = words(40, 1), [words(400, seed) for seed in (2, 3, 4)]
    ours = rows_file(tmp_path, [shared, long[0]], "ours.jsonl")
    theirs = rows_file(tmp_path, [shared, *long[1:]], "theirs.jsonl")
    assert len(together(ours, theirs, window_tokens=500)[1]) == 3
    for asked in ({"window_tokens": 500, "packing": "packed"}, {"window_tokens": 32}):
        with pytest.raises(CorpusError, match="share text: 100%"):
            together(ours, theirs, **asked)
