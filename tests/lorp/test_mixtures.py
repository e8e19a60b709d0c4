"""Several corpora: windows from each in turn, what each says by itself, and the mixture whose plan costs least."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from lorp.corpus import Document
from lorp.corpus.mixtures import mixtures_of, names_of, of_mixture, positions_by_corpus
from lorp.corpus.split import calibration_and_evaluation
from lorp.corpus.windows import cut_windows
from lorp.errors import CorpusError
from lorp.evaluation.perplexity import WindowLoss
from lorp.parquet import WindowSums
from lorp.search.mixtures import MixtureTrial, compare, ratio_with_bounds
from lorp.similarity import similarity_of
from lorp.spec import CalibrationSpec, EvaluationSpec
from lorp.stability import stability_of_capture, stability_of_trials

TOKENS = 10


def corpus(number: int, *lengths: int) -> list[Document]:
    return [
        Document(id=f"{number}:rows/{row}", text=chr(ord("a") + number) * length)
        for row, length in enumerate(lengths, start=1)
    ]


def tokenize(text: str) -> list[int]:
    return list(text.encode())


def drawn(corpora: list[list[Document]], count: int) -> list[int]:
    windows = cut_windows(corpora, tokenize, count, TOKENS, seed=0).windows
    return [int(window.document.partition(":")[0]) for window in windows]


def test_windows_come_from_each_corpus_in_turn_however_large_it_is() -> None:
    corpora = [corpus(1, *[100] * 50), corpus(2, 35, 12), corpus(3, 200)]
    assert drawn(corpora, 9) == [1, 2, 3] * 3
    assert drawn(corpora, 16) == [1, 2, 3] * 4 + [1, 3, 1, 3]
    few, many = (cut_windows(corpora, tokenize, count, TOKENS, seed=0).windows for count in (5, 30))
    assert many[:5] == few


def test_each_corpus_is_split_by_itself_so_that_both_uses_have_all() -> None:
    rows = {"a": 50, "b": 2}

    def read(address: str, window_tokens: int) -> tuple[Document, ...]:
        return tuple(
            Document(id=f"rows/{row}", text=" ".join(f"{address}{row}{word}" for word in range(30)))
            for row in range(rows[address])
        )

    for seed in range(8):
        calibration = CalibrationSpec(corpora=("a", "b"), window_tokens=8, seed=seed)
        evaluation = EvaluationSpec(corpora=("b", "a"), window_tokens=8)
        for part in calibration_and_evaluation(calibration, evaluation, read):
            assert set(positions_by_corpus([document.id for document in part])) == {1, 2}
    rows["b"] = 1
    with pytest.raises(CorpusError, match="b is one document, which cannot be split"):
        calibration_and_evaluation(calibration, evaluation, read)


def test_a_corpus_whose_text_is_all_in_another_is_named() -> None:
    def read(address: str, window_tokens: int) -> tuple[Document, ...]:
        return (Document(id="rows/1", text="judged" if address == "judged" else "the same " * 9),)

    with pytest.raises(CorpusError, match="all text of copy is in the corpora named before it"):
        calibration_and_evaluation(CalibrationSpec(corpora=("a", "copy")), EvaluationSpec(corpora=("judged",)), read)


def test_mixtures_are_all_together_and_each_alone_where_the_best_is_asked_for() -> None:
    corpora = ("a.txt", "b.txt", "a.txt", "c.txt")
    assert CalibrationSpec(corpora=corpora).corpora == ("a.txt", "b.txt", "c.txt")
    assert mixtures_of(CalibrationSpec(corpora=corpora)) == ((1, 2, 3),)
    best = CalibrationSpec(corpora=corpora, mixture="auto")
    assert mixtures_of(best) == ((1, 2, 3), (1,), (2,), (3,))
    assert names_of(best, (1, 3)) == ("a.txt", "c.txt")
    assert mixtures_of(CalibrationSpec(mixture="auto")) == ((1,),)
    with pytest.raises(ValidationError):
        CalibrationSpec(mixture="best")


def test_a_mixtures_documents_are_told_by_their_numbers() -> None:
    documents = [*corpus(1, 5), *corpus(12, 5), *corpus(2, 5), *corpus(1, 6)]
    assert [[document.id for document in part] for part in of_mixture(documents, (2, 1), 12)] == [
        ["2:rows/1"], ["1:rows/1", "1:rows/1"],
    ]  # fmt: skip
    assert of_mixture(corpus(7, 5, 5), (1,), 1) == [corpus(7, 5, 5)]
    assert positions_by_corpus(["2:a", "1:b", "2:c", "12:d"]) == {1: [1], 2: [0, 2], 12: [3]}


def sums(cosines: dict[str, float]) -> WindowSums:
    """A window a document, all of whose block inputs are this much alike; block 2 least changed in corpus 1."""
    made = np.stack([np.full((6, 6), cosine) + (1 - cosine) * np.eye(6) for cosine in cosines.values()])
    for window, document in zip(made, cosines, strict=True):
        block = 2 if document.startswith("1:") else 3
        window[block, block + 1] = window[block + 1, block] = 0.99
    return WindowSums(
        ids=tuple(cosines), documents=tuple(cosines), num_tokens=np.full(len(cosines), TOKENS),
        cosine_sums_WLL=made * TOKENS,
    )  # fmt: skip


COSINES = {"1:a": 0.5, "2:a": 0.8, "1:b": 0.5, "2:b": 0.8, "2:c": 0.8}


def test_each_corpus_is_scored_by_itself_as_if_there_were_no_other() -> None:
    both = similarity_of([sums(COSINES)], seed=0, by_corpus=True)
    assert [(entry.corpus, entry.num_windows, entry.num_documents) for entry in both.corpora] == [(1, 2, 2), (2, 3, 3)]
    for entry in both.corpora:
        alone = {name: cosine for name, cosine in COSINES.items() if name.startswith(f"{entry.corpus}:")}
        scored = similarity_of([sums(alone)], seed=0)
        assert (entry.rls, entry.rls_low, entry.rls_high) == (scored.rls, scored.rls_low, scored.rls_high)
        assert not scored.corpora
    assert both.corpora[1].rls < both.rls < both.corpora[0].rls


def test_a_corpus_without_locality_spoils_nothing() -> None:
    scored = similarity_of([sums({"1:a": 0.9, "1:b": 0.9, "2:a": -0.5})], seed=0, by_corpus=True)
    assert scored.rls > 0
    assert [entry.rls is None for entry in scored.corpora] == [False, True]
    assert scored.corpora[1].num_windows == 1


def test_resamples_of_one_corpus_hold_no_window_of_another() -> None:
    def most_alike(similarity: np.ndarray) -> list[int]:
        return [max(range(1, len(similarity) - 1), key=lambda block: similarity[block, block + 1])]

    stability = stability_of_capture([sums(COSINES)], most_alike, seed=0, by_corpus=True)
    assert [(entry.corpus, entry.num_windows) for entry in stability.corpora] == [(1, 2), (2, 3)]
    assert stability.corpora[0].shares == (0.0, 0.0, 1.0, 0.0, 0.0)
    assert stability.corpora[1].shares == (0.0, 0.0, 0.0, 1.0, 0.0)
    assert 0 < stability.shares[2] < 1


def test_of_trials_each_corpus_has_its_own_best_plan() -> None:
    losses = {(1,): [1.0, 9.0, 1.0, 9.0], (2,): [2.0, 2.0, 2.0, math.inf], (3,): [5.0, 5.0, 5.0, 5.0]}
    stability = stability_of_trials(losses, ["1:a", "2:a", "1:b", "2:b"], 5, seed=0, by_corpus=True)
    assert stability.corpora[0].shares == (0.0, 1.0, 0.0, 0.0, 0.0)
    assert stability.corpora[1].shares[1] == 0.0
    assert stability.corpora[1].shares[3] == pytest.approx(0.75, abs=0.05)
    assert not stability_of_trials(losses, ["1:a", "2:a", "1:b", "2:b"], 5, seed=0).corpora


def trial(mixture: tuple[int, ...], ratio: float | None) -> MixtureTrial:
    return MixtureTrial(mixture=mixture, rls=1, rls_low=1, rls_high=1, removed=(1,), ratio=ratio)


def test_the_mixture_whose_plan_costs_least_is_taken() -> None:
    trials = [trial((1, 2), 1.3), trial((1,), 1.2), trial((2,), 1.4)]
    assert compare(trials, 1, 32).chosen == (1,)
    assert compare([trial((1, 2), None), trial((2,), 9.0)], 1, 32).chosen == (2,)
    assert compare([trial((1, 2), None), trial((1,), None)], 1, 32).chosen == (1, 2)
    assert compare([trial((1, 2), 1.2), trial((1,), 1.2)], 1, 32).chosen == (1, 2)


def loss(document: str, value: float | None) -> WindowLoss:
    return WindowLoss(window=f"{document}@0", document=document, num_predicted=9, loss=value)


def test_the_ratio_is_of_mean_losses_on_the_same_windows_with_bounds_by_document() -> None:
    dense = [loss(document, value) for document, value in zip("abc", (1.0, 2.0, 3.0), strict=True)]
    pruned = [loss(document, value) for document, value in zip("abc", (1.1, 2.2, 3.3), strict=True)]
    ratio, lower, upper = ratio_with_bounds(dense, pruned)
    assert ratio == pytest.approx(math.exp(0.2))
    assert lower is not None
    assert upper is not None
    error = 0.1 / math.sqrt(3)  # Student's t of 2 degrees at 0.975 is 4.3027
    assert (lower, upper) == pytest.approx((math.exp(0.2 - 4.3027 * error), math.exp(0.2 + 4.3027 * error)), rel=1e-4)
    assert ratio_with_bounds(dense[:1], pruned[:1]) == (pytest.approx(math.exp(0.1)), None, None)
    assert ratio_with_bounds(dense, [*pruned[:2], loss("c", None)]) == (None, None, None)
