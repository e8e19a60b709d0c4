"""Windows: runs of one document or of whole packed documents, drawn fairly and repeatably."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import documents, tokenize

from lorp.corpus import Document
from lorp.corpus.documents import documents_digest
from lorp.corpus.uses import deal, fewest
from lorp.corpus.windows import cut_windows
from lorp.errors import CorpusError


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
    cut = cut_windows([given_documents], tokenize, num_windows, window_tokens, seed)
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
        window.document for window in cut_windows([documents(*lengths)], tokenize, num_windows, 10, seed).windows
    )
    most = max(drawn.values())
    assert all(drawn[document] >= min(number, most - 1) for document, number in held.items())


def test_where_text_is_short_fewer_windows_may_do() -> None:
    given_documents = documents(100, 40, 70)
    everything = cut_windows([given_documents], tokenize, 21, 10, 0)
    assert cut_windows([given_documents], tokenize, 30, 10, 0, at_least=21) == everything
    assert len(cut_windows([given_documents], tokenize, 8, 10, 0, at_least=2).windows) == 8
    with pytest.raises(CorpusError, match="gives 21 windows of 10 tokens, and 22 are asked for"):
        cut_windows([given_documents], tokenize, 30, 10, 0, at_least=22)


def test_uses_that_get_fewer_windows_fit_on_fewer() -> None:
    windows = cut_windows([documents(100, 40, 70)], tokenize, 20, 10, 0).windows
    healing = deal("healing", windows, (24, 4))
    assert (healing.fit.windows, healing.ridge.windows) == (windows[:16], windows[16:])
    assert deal("frontier", windows[:9], (12,)).windows == windows[:9]
    assert (fewest("healing", (24, 4)), fewest("frontier", (64,)), fewest("search", (3, 2, 1))) == (12, 22, 6)


def test_the_first_windows_stay_when_more_are_asked_for() -> None:
    given_documents = documents(100, 40, 70)
    few = cut_windows([given_documents], tokenize, 5, 10, seed=3).windows
    assert cut_windows([given_documents], tokenize, 12, 10, seed=3).windows[:5] == few


def test_the_same_seed_gives_the_same_windows_and_another_seed_others() -> None:
    given_documents = documents(*[200] * 10)
    cuts = [cut_windows([given_documents], tokenize, 8, 10, seed) for seed in (0, 0, 1, 2)]
    assert cuts[0] == cuts[1]
    assert len(set(cuts[1:])) == 3


def test_too_little_text_says_how_many_windows_there_are() -> None:
    with pytest.raises(CorpusError, match="gives 5 windows of 10 tokens, and 6 are asked for"):
        cut_windows([documents(39, 9, 20)], tokenize, 6, 10, seed=0)
    assert len(cut_windows([documents(39, 9, 20)], tokenize, 5, 10, seed=0).windows) == 5


def test_no_document_gives_no_window() -> None:
    with pytest.raises(CorpusError, match="gives 0 windows"):
        cut_windows([[]], tokenize, 1, 10, seed=0)


def test_no_more_is_tokenized_than_the_windows_take() -> None:
    tokenized: list[str] = []

    def tokenize(text: str) -> list[int]:
        tokenized.append(text)
        return [ord(char) for char in text]

    documents = [Document(id=str(number), text=f"{number} " * 50) for number in range(100)]
    cut_windows([documents], tokenize, num_windows=7, window_tokens=10, seed=0)
    assert len(tokenized) == 7


END = 1


def most_windows(given_documents: list[Document], window_tokens: int, seed: int, end: int | None) -> int:
    with pytest.raises(CorpusError) as refused:
        cut_windows([given_documents], tokenize, 10_000, window_tokens, seed, "packed", end)
    return int(str(refused.value).split("gives ")[1].split()[0])


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    window_tokens=st.integers(2, 30),
    end=st.sampled_from([None, END]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_packed_windows_are_of_whole_documents_that_no_other_passage_has(
    lengths: list[int], window_tokens: int, end: int | None, seed: int
) -> None:
    given_documents = documents(*lengths)
    total = sum(lengths)
    available = most_windows(given_documents, window_tokens, seed, end)
    assert available >= total // (window_tokens - 1 + max(lengths))
    assert available * window_tokens <= total + (len(lengths) - 1 if end else 0)
    if not available:
        return
    cut = cut_windows([given_documents], tokenize, available, window_tokens, seed, "packed", end)
    owner = {token: document.id for document in given_documents for token in tokenize(document.text)}
    seen: dict[str, str] = {}
    for window in cut.windows:
        assert len(window.tokens) == window_tokens
        for token in window.tokens:
            if token != END:
                assert seen.setdefault(owner[token], window.document) == window.document


def test_the_end_of_text_stands_between_packed_documents_only() -> None:
    three = [Document(id=name, text=name * 4) for name in "abc"]
    [window] = cut_windows([three], tokenize, 1, 14, 0, "packed", END).windows
    first, second, third = (window.tokens[start] for start in (0, 5, 10))
    assert window.tokens == (*[first] * 4, END, *[second] * 4, END, *[third] * 4)
    assert {first, second, third} == set(tokenize("abc"))
    assert window.document == f"{chr(first)}+2"
    assert window.id == f"{window.document}@0"
    [without] = cut_windows([three], tokenize, 1, 12, 0, "packed").windows
    assert without.tokens == tuple(token for token in window.tokens if token != END)


def test_a_passage_that_fills_several_windows_is_one_cluster() -> None:
    cut = cut_windows([documents(100, 10, 10, 10)], tokenize, 11, 10, 0, "packed")
    assert sorted(Counter(window.document for window in cut.windows).values()) == [1, 1, 1, 8]


def test_packed_and_long_windows_of_long_documents_are_the_same() -> None:
    given_documents = documents(35, 42, 61)
    assert cut_windows([given_documents], tokenize, 8, 10, 3) == cut_windows(
        [given_documents], tokenize, 8, 10, 3, "packed"
    )


def test_short_documents_give_windows_only_when_they_are_packed() -> None:
    short = documents(*[6] * 20)
    with pytest.raises(CorpusError, match="--windows packed"):
        cut_windows([short], tokenize, 1, 10, 0)
    assert len(cut_windows([short], tokenize, 10, 10, 0, "packed").windows) == 10
    with pytest.raises(CorpusError, match=r"gives 10 windows.*ask for fewer or shorter windows\.$"):
        cut_windows([short], tokenize, 11, 10, 0, "packed")
