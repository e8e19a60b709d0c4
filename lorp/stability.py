"""How sure a plan is: which blocks would be removed had other documents been drawn."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorp.corpus.mixtures import positions_by_corpus
from lorp.errors import InputError
from lorp.parquet import WindowSums, joined_windows
from lorp.similarity import Matrix, boundary_similarity

#: Resamples of a capture, each of which is clustered and planned anew, and of trials, which take no more than a sum.
CAPTURE_RESAMPLES, TRIAL_RESAMPLES = 200, 2_000
_NEVER_BEST = 1e9


@dataclass(frozen=True, kw_only=True)
class CorpusStability:
    """The same over the documents of one corpus of several: how far plans depend on the text.

    Attributes:
        corpus: Its number, from 1.
        num_windows: Its windows among those that are resampled.
        num_resamples: Resamples that came to a plan.
        shares: By block, 0 to 1.
    """

    corpus: int
    num_windows: int
    num_resamples: int
    shares: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Shares of bootstrap resamples over documents that remove each block.

    Attributes:
        over: What was resampled: windows of the capture, or those on which plans competed.
        num_resamples: Resamples that came to a plan.
        shares: By block, 0 to 1.
        corpora: By corpus, where there are several.
    """

    over: Literal["capture", "trials"]
    num_resamples: int
    shares: tuple[float, ...]
    corpora: tuple[CorpusStability, ...] = ()


def stability_of_capture(
    shards: Sequence[WindowSums], plan: Callable[[Matrix], Sequence[int]], seed: int, by_corpus: bool = False
) -> Stability:
    """Of a plan that follows from similarity; resamples that come to no plan are left out.

    Args:
        shards: All windows of the capture; N + 1 boundaries.
        plan: The removed blocks that follow from an N x N similarity of block inputs.
        seed: Of the bootstrap.
        by_corpus: Whether there are several corpora, each of which is resampled by itself too.
    """
    windows = joined_windows(shards)

    def resampled(positions: Sequence[int]) -> _Found:
        drawn = windows.at(positions)
        return _found(_plans(drawn, plan, seed), drawn.cosine_sums_WLL.shape[1] - 1)

    return _stability("capture", resampled, windows.documents, by_corpus)


def stability_of_trials(
    losses: Mapping[tuple[int, ...], Sequence[float]],
    documents: Sequence[str],
    num_blocks: int,
    seed: int,
    by_corpus: bool = False,
) -> Stability:
    """Of a plan that was found by trials: which of those tried would have cost least on other documents.

    Args:
        losses: Loss a window, in nats, of each plan that was tried.
        documents: Of the windows.
        num_blocks: N.
        seed: Of the bootstrap.
        by_corpus: Whether there are several corpora, each of which is resampled by itself too.
    """
    plans = sorted(losses)
    # Not infinite, so that a window that is not drawn counts for nothing.
    tried_PW = np.nan_to_num(np.array([losses[plan] for plan in plans], dtype=np.float64), posinf=_NEVER_BEST)

    def resampled(positions: Sequence[int]) -> _Found:
        weights_RW = np.stack(_resampled([documents[position] for position in positions], TRIAL_RESAMPLES, seed))
        costs_RP = weights_RW @ tried_PW[:, positions].T
        return _found((plans[best] for best in costs_RP.argmin(axis=1)), num_blocks)

    return _stability("trials", resampled, documents, by_corpus)


class _Found(NamedTuple):
    """Resamples that came to a plan, and the share of them that remove each block."""

    num_resamples: int
    shares: tuple[float, ...]


def _stability(
    over: Literal["capture", "trials"],
    resampled: Callable[[Sequence[int]], _Found],
    documents: Sequence[str],
    by_corpus: bool,
) -> Stability:
    """Of all windows, and of each corpus's."""
    num_resamples, shares = resampled(range(len(documents)))
    corpora = positions_by_corpus(documents).items() if by_corpus else ()
    return Stability(
        over=over,
        num_resamples=num_resamples,
        shares=shares,
        corpora=tuple(
            CorpusStability(corpus=corpus, num_windows=len(positions), **resampled(positions)._asdict())
            for corpus, positions in corpora
        ),
    )


def _plans(windows: WindowSums, plan: Callable[[Matrix], Sequence[int]], seed: int) -> Iterator[Sequence[int]]:
    """What each resample comes to, if it comes to a plan."""
    for weights_W in _resampled(windows.documents, CAPTURE_RESAMPLES, seed):
        with suppress(InputError):
            yield plan(boundary_similarity(windows, weights_W)[:-1, :-1])


def _found(plans: Iterable[Sequence[int]], num_blocks: int) -> _Found:
    counts, found = np.zeros(num_blocks), 0
    for removed in plans:
        counts[list(removed)] += 1
        found += 1
    return _Found(found, tuple(float(share) for share in counts / max(found, 1)))


def _resampled(documents: Sequence[str], resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """How often each window is drawn, a resample each: whole documents, as many as there are."""
    of_window = np.unique(np.array(documents), return_inverse=True)[1]
    num_documents = int(of_window.max()) + 1
    drawn = np.random.default_rng(seed).integers(num_documents, size=(resamples, num_documents))
    return [np.bincount(row, minlength=num_documents)[of_window].astype(np.float64) for row in drawn]
