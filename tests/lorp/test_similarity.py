"""Similarity: the mean cosine of every pair of boundaries, its RLS and how sure one can be of it."""

import math
from itertools import pairwise

import numpy as np
import pytest

from lorp.errors import SimilarityError
from lorp.parquet import WindowSums
from lorp.similarity import Similarity, checked_block_inputs, rls, similarity_of

NUM_BOUNDARIES = 5


def symmetric(*above: float) -> np.ndarray:
    """The symmetric matrix with diagonal 1 and these values above it, row by row."""
    num_rows = round((1 + math.sqrt(1 + 8 * len(above))) / 2)
    matrix = np.eye(num_rows)
    matrix[np.triu_indices(num_rows, k=1)] = above
    return matrix + np.triu(matrix, k=1).T


def unit_vectors(num_tokens: int, seed: int) -> np.ndarray:
    """Random unit vectors that drift from boundary to boundary: (boundaries, tokens, 8)."""
    steps = np.random.default_rng(seed).normal(size=(NUM_BOUNDARIES, num_tokens, 8))
    states = np.cumsum(steps, axis=0) + 1.0
    return states / np.linalg.norm(states, axis=-1, keepdims=True)


WINDOWS = [unit_vectors(num_tokens, seed) for seed, num_tokens in enumerate([9, 16, 3, 16, 8, 5, 16, 11, 16, 16])]
DOCUMENTS = ["a", "b", "c", "a", "d", "e", "b", "f", "g", "a"]


def shard(*numbers: int) -> WindowSums:
    """The windows of these numbers, as a capture keeps them."""
    return WindowSums(
        ids=tuple(f"{DOCUMENTS[number]}@{number}" for number in numbers),
        documents=tuple(DOCUMENTS[number] for number in numbers),
        num_tokens=np.array([WINDOWS[number].shape[1] for number in numbers]),
        cosine_sums_WLL=np.array([np.einsum("itd,jtd->ij", WINDOWS[number], WINDOWS[number]) for number in numbers]),
    )


def naive_boundaries() -> list[list[float]]:
    """Equations 3 and 4, a token at a time."""
    means = []
    for i in range(NUM_BOUNDARIES):
        row = []
        for j in range(NUM_BOUNDARIES):
            cosines = [
                sum(float(a) * float(b) for a, b in zip(window[i, token], window[j, token], strict=True))
                for window in WINDOWS
                for token in range(window.shape[1])
            ]
            row.append(1.0 if i == j else math.fsum(cosines) / len(cosines))
        means.append(row)
    return means


def test_rls_worked_by_hand() -> None:
    # (0.5 + 0.25 + 0.0) / 3 = 1/4, and -log2(1/4) = 2.
    assert rls(symmetric(0.5, 0.25, 0.0)) == pytest.approx(2.0, abs=1e-12)
    # (1 + 0.5 - 0.5 + 1 + 0.5 + 0.5) / 6 = 1/2, and -log2(1/2) = 1.
    assert rls(symmetric(1.0, 0.5, -0.5, 1.0, 0.5, 0.5)) == pytest.approx(1.0, abs=1e-12)


def test_rls_of_blocks_all_alike_is_plain_zero() -> None:
    score = rls(np.ones((4, 4)))
    assert (score, math.copysign(1.0, score)) == (0.0, 1.0)


def test_rls_looks_at_different_blocks_only() -> None:
    matrix = symmetric(0.5, 0.25, 0.0)
    np.fill_diagonal(matrix, 77.0)
    assert rls(matrix) == pytest.approx(2.0, abs=1e-12)


@pytest.mark.parametrize("above", [(0.0, 0.0, 0.0), (-0.5, 0.5, 0.0), (-0.1, -0.2, -0.3), (math.nan, 0.5, 0.5)])
def test_a_mean_that_is_not_positive_has_no_rls(above: tuple[float, ...]) -> None:
    with pytest.raises(SimilarityError, match="exists only above 0"):
        rls(symmetric(*above))


def test_similarity_is_the_mean_over_all_tokens_however_they_are_grouped() -> None:
    similarity = similarity_of([shard(0, 1, 2), shard(3), shard(4, 5, 6, 7, 8, 9)], seed=0)
    assert np.array(similarity.boundaries) == pytest.approx(np.array(naive_boundaries()), abs=1e-12)
    above = [row[j] for i, row in enumerate(naive_boundaries()[:-1]) for j in range(i + 1, NUM_BOUNDARIES - 1)]
    assert similarity.rls == pytest.approx(-math.log2(sum(above) / len(above)), abs=1e-12)


def test_similarity_counts_what_it_rests_on() -> None:
    similarity = similarity_of([shard(0, 1, 2), shard(3, 4, 5, 6, 7, 8, 9)], seed=0)
    assert similarity.num_blocks == NUM_BOUNDARIES - 1
    assert similarity.num_windows == len(WINDOWS)
    assert similarity.num_tokens == sum(window.shape[1] for window in WINDOWS)
    assert similarity.num_documents == len(set(DOCUMENTS))


def test_similarity_is_symmetric_with_diagonal_one() -> None:
    matrix = np.array(similarity_of([shard(*range(10))], seed=0).boundaries)
    assert np.array_equal(matrix, matrix.T)
    assert np.all(matrix.diagonal() == 1.0)


def test_block_inputs_leave_out_the_last_boundary() -> None:
    similarity = similarity_of([shard(*range(10))], seed=0)
    assert similarity.block_inputs.tolist() == [list(row[:-1]) for row in similarity.boundaries[:-1]]


@pytest.mark.parametrize(
    "shards",
    [
        [shard(4, 5, 6, 7, 8, 9), shard(3), shard(0, 1, 2)],
        [shard(*range(9, -1, -1))],
        [shard(number) for number in (5, 2, 8, 0, 9, 1, 7, 3, 6, 4)],
    ],
    ids=["shards reversed", "windows reversed", "a shard a window"],
)
def test_the_order_of_shards_and_windows_does_not_matter(shards: list[WindowSums]) -> None:
    one, other = similarity_of([shard(*range(10))], seed=0), similarity_of(shards, seed=0)
    assert np.array(other.boundaries) == pytest.approx(np.array(one.boundaries), abs=1e-12)
    scores = [(score.rls, score.rls_low, score.rls_high) for score in (one, other)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-12)


def interval(similarity: Similarity) -> tuple[float, float]:
    return similarity.rls_low, similarity.rls_high


def test_the_interval_depends_on_its_seed_and_nothing_else_does() -> None:
    first, again, other = (similarity_of([shard(*range(10))], seed) for seed in (0, 0, 1))
    assert first == again
    assert interval(first) != interval(other)
    assert (first.boundaries, first.rls) == (other.boundaries, other.rls)


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_holds_the_estimate(seed: int) -> None:
    similarity = similarity_of([shard(*range(10))], seed)
    assert similarity.rls_low < similarity.rls < similarity.rls_high


def sums_of(cosines: list[float], num_tokens: list[int], documents: list[str]) -> WindowSums:
    """Windows of three blocks, the inputs of which have this mean cosine; the last boundary is like none of them."""
    sums = np.zeros((len(documents), 4, 4))
    sums[:, :3, :3] = (np.array(cosines) * num_tokens)[:, None, None]
    return WindowSums(
        ids=tuple(map(str, range(len(documents)))),
        documents=tuple(documents),
        num_tokens=np.array(num_tokens),
        cosine_sums_WLL=sums,
    )


def repeated(documents: list[str]) -> WindowSums:
    """A token a window, the mean cosine of which goes 0.2, 0.4, 0.6, 0.8 and round again."""
    cosines = [0.2 + 0.2 * (number % 4) for number in range(len(documents))]
    return sums_of(cosines, [1] * len(documents), documents)


def test_whole_documents_are_resampled() -> None:
    # Each of 10 documents holds the same four windows: whichever are drawn, the mean is 0.5 and RLS is 1.
    alike = similarity_of([repeated([f"document-{number // 4}" for number in range(40)])], seed=0)
    assert interval(alike) == pytest.approx((1.0, 1.0), abs=1e-12)
    # With a window a document the mean varies, and with the four kinds apart in four documents it varies most.
    loose, tied = repeated([str(number) for number in range(40)]), repeated([str(number % 4) for number in range(40)])
    widths = [high - low for low, high in (interval(similarity_of([sums], seed=0)) for sums in (loose, tied))]
    assert all(narrow < wide for narrow, wide in pairwise([0.01, *widths]))


def test_the_interval_is_that_of_the_mean_over_documents() -> None:
    # The mean of 40 independent cosines with variance 0.05 has standard error 0.0354; RLS falls as the mean rises.
    low, high = interval(similarity_of([repeated([str(number) for number in range(40)])], seed=0))
    assert low == pytest.approx(-math.log2(0.5 + 1.96 * 0.0354), abs=0.03)
    assert high == pytest.approx(-math.log2(0.5 - 1.96 * 0.0354), abs=0.03)


def test_the_interval_counts_tokens_as_the_estimate_does() -> None:
    # (20 * 1 * 0.2 + 20 * 9 * 0.8) / (20 * 1 + 20 * 9) = 0.74; the plain mean over documents is 0.5, and its RLS 1.
    windows = sums_of([0.2, 0.8] * 20, [1, 9] * 20, [str(number) for number in range(40)])
    similarity = similarity_of([windows], seed=0)
    assert similarity.rls == pytest.approx(-math.log2(0.74), abs=1e-12)
    assert similarity.rls_low < similarity.rls < similarity.rls_high < 0.9


def test_one_document_gives_an_interval_without_width() -> None:
    assert interval(similarity_of([repeated(["only"] * 4)], seed=0)) == pytest.approx((1.0, 1.0), abs=1e-12)


def test_a_capture_whose_mean_is_not_positive_is_refused() -> None:
    sums = WindowSums(
        ids=("a@0",), documents=("a",), num_tokens=np.array([4]), cosine_sums_WLL=np.full((1, 4, 4), -0.5)
    )
    with pytest.raises(SimilarityError, match="exists only above 0"):
        similarity_of([sums], seed=0)


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.ones(9), "shape"),
        (np.ones((3, 4)), "shape"),
        (np.ones((3, 3, 3)), "shape"),
        (np.ones((2, 2)), "shape"),
        (np.ones((0, 0)), "shape"),
        (np.array(0.5), "shape"),
        (symmetric(math.nan, 0.5, 0.5), "finite"),
        (symmetric(math.inf, 0.5, 0.5), "finite"),
        (np.full((3, 3), "0.5"), "finite"),
        (np.full((3, 3), None), "finite"),
        (np.full((3, 3), 0.5 + 0j), "finite"),
        (np.ones((3, 3), dtype=bool), "finite"),
        (np.triu(symmetric(0.5, 0.5, 0.5)), "symmetric"),
        (symmetric(0.5, 0.5, 0.5) + np.eye(3, k=1) * 0.0011, "symmetric"),
        (symmetric(1.1, 0.5, 0.5), "outside"),
        (symmetric(-1.1, 0.5, 0.5), "outside"),
        (symmetric(0.5, 0.5, 0.5) * 100, "outside"),
        (1 - symmetric(0.5, 0.25, 0.5), "diagonal that is not 1"),
    ],
)
def test_a_matrix_that_cannot_be_the_similarity_of_blocks_is_refused(matrix: np.ndarray, reason: str) -> None:
    with pytest.raises(SimilarityError, match=reason):
        checked_block_inputs(matrix)


def test_a_matrix_of_block_inputs_is_taken_as_it_is() -> None:
    matrix = symmetric(0.5, -0.25, 1.0)
    checked = checked_block_inputs(matrix)
    assert checked.dtype == np.float64
    assert np.array_equal(checked, matrix)


def test_a_matrix_that_is_nearly_symmetric_becomes_so_and_the_given_one_stays() -> None:
    matrix = symmetric(0.5, 0.25, 0.125).astype(np.float32)
    matrix[0, 1] += 0.0005
    matrix[2, 2] = 0.9996
    given = matrix.copy()
    checked = checked_block_inputs(matrix)
    assert np.array_equal(checked, checked.T)
    assert checked[0, 1] == pytest.approx(0.50025, abs=1e-7)
    assert np.all(checked.diagonal() == 1.0)
    assert np.array_equal(matrix, given)


def test_whole_numbers_are_numbers() -> None:
    assert np.array_equal(checked_block_inputs(np.ones((3, 3), dtype=np.int64)), np.ones((3, 3)))
