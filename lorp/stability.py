"""How sure a plan is: which blocks would be removed had other documents been drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lorp.errors import InputError
from lorp.parquet import WindowSums
from lorp.similarity import Matrix

#: Resamples of a capture, each of which is clustered and planned anew, and of trials, which take no more than a sum.
CAPTURE_RESAMPLES, TRIAL_RESAMPLES = 200, 2_000


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Shares of bootstrap resamples over documents that remove each block.

    Attributes:
        over: What was resampled: windows of the capture, or those on which plans competed.
        num_resamples: Resamples that came to a plan.
        shares: By block, 0 to 1.
    """

    over: Literal["capture", "trials"]
    num_resamples: int
    shares: tuple[float, ...]


def stability_of_capture(shards: Sequence[WindowSums], plan: Callable[[Matrix], Sequence[int]], seed: int) -> Stability:
    """Of a plan that follows from similarity; resamples that come to no plan are left out.

    Args:
        shards: All windows of the capture; N + 1 boundaries.
        plan: The removed blocks that follow from an N x N similarity of block inputs.
        seed: Of the bootstrap.
    """
    sums_WLL = np.concatenate([shard.cosine_sums_WLL for shard in shards])
    tokens_W = np.concatenate([shard.num_tokens for shard in shards])
    documents = [document for shard in shards for document in shard.documents]
    num_blocks = sums_WLL.shape[1] - 1
    counts, found = np.zeros(num_blocks), 0
    for weights_W in _resampled(documents, CAPTURE_RESAMPLES, seed):
        boundaries = np.tensordot(weights_W, sums_WLL, axes=1) / (weights_W @ tokens_W)
        boundaries = np.clip((boundaries + boundaries.T) / 2, -1, 1)
        np.fill_diagonal(boundaries, 1.0)
        try:
            removed = plan(boundaries[:-1, :-1])
        except InputError:
            continue
        counts[list(removed)] += 1
        found += 1
    return Stability(over="capture", num_resamples=found, shares=_shares(counts, found))


def stability_of_trials(
    losses: Mapping[tuple[int, ...], Sequence[float]], documents: Sequence[str], num_blocks: int, seed: int
) -> Stability:
    """Of a plan that was found by trials: which of those tried would have cost least on other documents.

    Args:
        losses: Loss a window, in nats, of each plan that was tried.
        documents: Of the windows.
        num_blocks: N.
        seed: Of the bootstrap.
    """
    plans = sorted(losses)
    tried_PW = np.array([losses[plan] for plan in plans], dtype=np.float64)
    weights_RW = np.stack(list(_resampled(documents, TRIAL_RESAMPLES, seed)))
    with np.errstate(invalid="ignore"):  # infinity of a window that was not drawn
        costs_RP = np.nan_to_num(weights_RW @ tried_PW.T, nan=np.inf)
    counts = np.zeros(num_blocks)
    for best in costs_RP.argmin(axis=1):
        counts[list(plans[best])] += 1
    return Stability(over="trials", num_resamples=TRIAL_RESAMPLES, shares=_shares(counts, TRIAL_RESAMPLES))


def _resampled(documents: Sequence[str], resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """How often each window is drawn, a resample each: whole documents, as many as there are."""
    of_window = np.unique(np.array(documents), return_inverse=True)[1]
    num_documents = int(of_window.max()) + 1
    drawn = np.random.default_rng(seed).integers(num_documents, size=(resamples, num_documents))
    return [np.bincount(row, minlength=num_documents)[of_window].astype(np.float64) for row in drawn]


def _shares(counts: NDArray[np.float64], found: int) -> tuple[float, ...]:
    return tuple(float(share) for share in counts / max(found, 1))
