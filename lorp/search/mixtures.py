"""Mixtures of corpora, compared by what the plans cost that come from each, healed and cut as they would ship."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorp.corpus.mixtures import Mixture
from lorp.evaluation.perplexity import WindowLoss, exp
from lorp.statistics import clustered_mean

#: Of each of the two bounds of a ratio.
CONFIDENCE = 0.975


@dataclass(frozen=True, kw_only=True)
class MixtureTrial:
    """A mixture, and what its plan costs.

    Attributes:
        mixture: Numbers of its corpora, from 1.
        rls: Representation Locality Score of the block inputs, in bits; None where there is too little text.
        rls_low: 2.5th percentile of RLS over resamples of documents.
        rls_high: 97.5th percentile.
        removed: Its plan; empty where there is none.
        healing: How that was healed.
        ratio: Pruned / dense perplexity; None where it is not finite, or there is no plan.
        lower: Lower bound of the ratio at 0.975; None where windows come from one document only.
        upper: Upper bound.
        refused: Why there is no plan.
    """

    mixture: Mixture
    rls: float | None
    rls_low: float | None
    rls_high: float | None
    removed: tuple[int, ...] = ()
    healing: str = "none"
    ratio: float | None = None
    lower: float | None = None
    upper: float | None = None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class MixtureComparison:
    """Mixtures side by side.

    Attributes:
        chosen: The one whose plan costs least.
        count: Blocks that their plans remove.
        num_windows: Held-out windows on which they were compared.
        trials: All of them, in the order in which they were tried.
    """

    chosen: Mixture
    count: int
    num_windows: int
    trials: tuple[MixtureTrial, ...]


def compare(trials: Sequence[MixtureTrial], count: int, num_windows: int) -> MixtureComparison:
    """Chooses the mixture of the least perplexity; the first where none has a finite one."""
    best = min(trials, key=lambda trial: math.inf if trial.ratio is None else trial.ratio)
    return MixtureComparison(chosen=best.mixture, count=count, num_windows=num_windows, trials=tuple(trials))


def ratio_with_bounds(
    dense: Sequence[WindowLoss], pruned: Sequence[WindowLoss]
) -> tuple[float | None, float | None, float | None]:
    """Pruned / dense perplexity, its lower and its upper bound, as in `MixtureTrial`.

    Args:
        dense: Losses of the dense model.
        pruned: Losses of the variant on the same windows, in the same order.
    """
    of_dense, of_pruned = (np.array([item.loss for item in items], dtype=np.float64) for items in (dense, pruned))
    changes = of_pruned - of_dense
    if not np.isfinite(changes).all():
        return None, None, None
    documents, tokens = [item.document for item in pruned], [item.num_predicted for item in pruned]
    if len(set(documents)) < 2:
        return _finite(exp(float(np.average(changes, weights=tokens)))), None, None
    bounds = clustered_mean(changes, documents, CONFIDENCE, tokens)
    return _finite(exp(bounds.value)), _finite(exp(bounds.lower)), _finite(exp(bounds.upper))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
