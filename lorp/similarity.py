"""Capture -> similarity of block inputs, Representation Locality Score (RLS) and its bootstrap interval.

Source: arXiv 2605.27786, equations 3 to 6. Shapes: N blocks, L = N + 1 boundaries, W windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorp.corpus.mixtures import positions_by_corpus
from lorp.errors import SimilarityError
from lorp.parquet import TokenKind, WindowSums, joined_windows
from lorp.values import LATER

Matrix = NDArray[np.float64]

_RESAMPLES = 1_000
_ASYMMETRY, _OFF_ONE = 1e-3, 1e-2


@dataclass(frozen=True, kw_only=True)
class CorpusLocality:
    """How alike they are on one corpus of several.

    Attributes:
        corpus: Its number, from 1.
        rls: Representation Locality Score of the block inputs, in bits; None, as its bounds, where it does not exist.
        rls_low: 2.5th percentile of RLS over resamples of its documents.
        rls_high: 97.5th percentile.
        num_windows: Windows of it that were captured.
        num_documents: Documents that they come from.
    """

    corpus: int
    rls: float | None
    rls_low: float | None
    rls_high: float | None
    num_windows: int
    num_documents: int


@dataclass(frozen=True, kw_only=True)
class KindSimilarity:
    """How alike the states of one kind of token are, where a stack reads text and images.

    Attributes:
        kind: `image` or `text`.
        boundaries: L x L mean cosines in [-1, 1], diagonal 1.
        rls: Representation Locality Score of the block inputs, in bits; None where it does not exist.
        num_tokens: Tokens of this kind that were captured.
    """

    kind: TokenKind
    boundaries: tuple[tuple[float, ...], ...]
    rls: float | None
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How alike the hidden states at block boundaries are.

    Attributes:
        boundaries: L x L mean cosines in [-1, 1], diagonal 1; boundary b is the input of block b.
        rls: Representation Locality Score of the block inputs, in bits.
        rls_low: 2.5th percentile of RLS over resamples of documents.
        rls_high: 97.5th percentile.
        num_windows: Windows captured.
        num_tokens: Tokens captured.
        num_documents: Documents that they come from.
        corpora: The same by corpus, where there are several.
        kinds: The same by kind of token, where there are images.
    """

    boundaries: tuple[tuple[float, ...], ...]
    rls: float
    rls_low: float
    rls_high: float
    num_windows: int
    num_tokens: int
    num_documents: int
    corpora: tuple[CorpusLocality, ...] = ()
    kinds: tuple[KindSimilarity, ...] = field(default=(), metadata=LATER)

    @property
    def num_blocks(self) -> int:
        """N."""
        return len(self.boundaries) - 1

    @property
    def block_inputs(self) -> Matrix:
        """N x N, the similarity of block inputs."""
        return np.array(self.boundaries)[:-1, :-1]


def similarity_of(shards: Sequence[WindowSums], seed: int, by_corpus: bool = False) -> Similarity:
    """Scores a capture.

    Args:
        shards: All of its windows.
        seed: Of the bootstrap over documents.
        by_corpus: Whether there are several corpora, each of which is scored by itself too.

    Raises:
        SimilarityError: The mean similarity is not positive, so that RLS does not exist.
    """
    windows = joined_windows(shards)
    boundaries = boundary_similarity(windows)
    positions = positions_by_corpus(windows.documents) if by_corpus else {}
    return Similarity(
        boundaries=tuple(tuple(map(float, row)) for row in boundaries),
        num_tokens=int(windows.num_tokens.sum()),
        corpora=tuple(_of_corpus(corpus, windows.at(positions[corpus]), seed) for corpus in positions),
        kinds=tuple(_of_kind(kind, of_kind) for kind, of_kind in windows.by_kind.items()),
        **_locality(windows, seed),
        **_size(windows),
    )


def boundary_similarity(windows: WindowSums, weights_W: NDArray[np.float64] | None = None) -> Matrix:
    """L x L mean cosines over tokens, symmetric, diagonal 1.

    Args:
        windows: Which.
        weights_W: How often each counts; once unless given.
    """
    boundaries: Matrix
    if weights_W is None:
        boundaries = windows.cosine_sums_WLL.sum(axis=0) / windows.num_tokens.sum()
    else:
        boundaries = np.tensordot(weights_W, windows.cosine_sums_WLL, axes=1) / (weights_W @ windows.num_tokens)
    boundaries = np.clip((boundaries + boundaries.T) / 2, -1, 1)
    np.fill_diagonal(boundaries, 1.0)
    return boundaries


def _of_corpus(corpus: int, windows: WindowSums, seed: int) -> CorpusLocality:
    try:
        return CorpusLocality(corpus=corpus, **_locality(windows, seed), **_size(windows))
    except SimilarityError:
        return CorpusLocality(corpus=corpus, rls=None, rls_low=None, rls_high=None, **_size(windows))


def _of_kind(kind: TokenKind, windows: WindowSums) -> KindSimilarity:
    boundaries = boundary_similarity(windows)
    try:
        score = rls(boundaries[:-1, :-1])
    except SimilarityError:
        score = None
    return KindSimilarity(
        kind=kind,
        boundaries=tuple(tuple(map(float, row)) for row in boundaries),
        rls=score,
        num_tokens=int(windows.num_tokens.sum()),
    )


def _size(windows: WindowSums) -> dict[str, int]:
    return {"num_windows": len(windows.num_tokens), "num_documents": len(set(windows.documents))}


def _locality(windows: WindowSums, seed: int) -> dict[str, Any]:
    """RLS and its interval."""
    low, high = _bootstrap_rls(windows.cosine_sums_WLL[:, :-1, :-1], windows.num_tokens, windows.documents, seed)
    return {"rls": rls(boundary_similarity(windows)[:-1, :-1]), "rls_low": low, "rls_high": high}


def rls(similarity: Matrix) -> float:
    """Representation Locality Score, `-log2` of the mean similarity of two different block inputs, in bits.

    Args:
        similarity: N x N over block inputs, N at least 2.

    Raises:
        SimilarityError: The mean is not positive.
    """
    mean = float(similarity[np.triu_indices_from(similarity, k=1)].mean())
    if not mean > 0:
        raise SimilarityError(
            f"the blocks' mean similarity is {mean:.4g}, and RLS exists only above 0", "Capture more calibration text"
        )
    return float(-np.log2(mean)) + 0.0


def checked_block_inputs(similarity: Matrix) -> Matrix:
    """A matrix from outside, if it can be the similarity of N block inputs; made symmetric, diagonal 1.

    Raises:
        SimilarityError: Not square, fewer than 3 blocks, not numbers in [-1, 1], not symmetric within 1e-3, or a
            diagonal that is not 1 within 1e-2, as that of distances.
    """
    remedy = "Give the N x N matrix of mean cosines between block inputs"
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or len(similarity) < 3:
        raise SimilarityError(f"a matrix of shape {similarity.shape} is not N x N with N of 3 or more", remedy)
    if similarity.dtype.kind not in "fiu" or not np.isfinite(similarity).all():
        raise SimilarityError("the matrix does not hold finite numbers only", remedy)
    matrix = similarity.astype(np.float64)
    if np.abs(matrix - matrix.T).max() > _ASYMMETRY:
        raise SimilarityError("the matrix is not symmetric", remedy)
    if np.abs(matrix).max() > 1 + _ASYMMETRY:
        raise SimilarityError("the matrix holds values outside -1 to 1", remedy)
    if np.abs(matrix.diagonal() - 1).max() > _OFF_ONE:
        raise SimilarityError("the matrix has a diagonal that is not 1, as distances have", remedy)
    matrix = np.clip((matrix + matrix.T) / 2, -1, 1)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _bootstrap_rls(
    sums_WNN: Matrix, tokens_W: NDArray[np.int64], documents: Sequence[str], seed: int
) -> tuple[float, float]:
    rows, columns = np.triu_indices(sums_WNN.shape[1], k=1)
    pair_mean_W = sums_WNN[:, rows, columns].mean(axis=1)
    of_document = np.unique(np.array(documents), return_inverse=True)[1]
    sums_G = np.bincount(of_document, weights=pair_mean_W)
    tokens_G = np.bincount(of_document, weights=tokens_W)
    drawn = np.random.default_rng(seed).integers(len(sums_G), size=(_RESAMPLES, len(sums_G)))
    means = sums_G[drawn].sum(axis=1) / tokens_G[drawn].sum(axis=1)
    scores = -np.log2(np.maximum(means, np.finfo(np.float64).tiny))
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
