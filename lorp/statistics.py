"""Measured values -> estimates with confidence bounds.

`lower` and `upper` of an estimate are one-sided bounds at the same confidence each; together they are an interval of
confidence `2 * confidence - 1`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its one-sided confidence bounds."""

    value: float
    lower: float
    upper: float


def clustered_mean(values: ArrayLike, clusters: Sequence[str], confidence: float) -> Estimate:
    """Mean of values, with bounds robust to any dependence within a cluster.

    With n values in G clusters and cluster totals r_g of the deviations from the mean, the standard error is
    `sqrt(G / (G - 1) * sum r_g^2) / n`, and the bounds use Student's t with G - 1 degrees of freedom.

    Args:
        values: One an item.
        clusters: The cluster of each, at least two different ones.
        confidence: One-sided, 0.95 say.
    """
    array = np.asarray(values, dtype=np.float64)
    totals = _cluster_totals(array, clusters)
    error = math.sqrt(_between(totals)) / len(array)
    return _by_t(float(array.mean()), error, len(totals) - 1, confidence)


def bounded_differences(
    values: ArrayLike, clusters: Sequence[str], strata: Sequence[str], confidence: float
) -> Estimate:
    """Mean over strata of the mean of paired differences that lie in [-1, 1], with bounds.

    To each stratum of n differences in G clusters one pair is added, +1 and -1 with half the weight of a difference
    each, as Agresti and Min do for matched proportions (Statistics in Medicine 24, 2005): differences that are all
    alike do not give an interval of no width. So the mean is `sum d / (n + 2)` and its variance
    `(G / (G - 1) * sum r_g^2 + 1) / (n + 2)^2`; strata are independent and weigh the same.

    Args:
        values: One an item, each in [-1, 1].
        clusters: The cluster of each; at least two different ones in every stratum.
        strata: The stratum of each.
        confidence: One-sided, 0.95 say.
    """
    array, of_item = np.asarray(values, dtype=np.float64), np.asarray(strata)
    means, variances, freedoms = [], [], []
    for stratum in np.unique(of_item):
        chosen = of_item == stratum
        totals = _cluster_totals(array[chosen], np.asarray(clusters)[chosen].tolist())
        num_items = int(chosen.sum()) + 2
        means.append(float(array[chosen].sum()) / num_items)
        variances.append((_between(totals) + 1) / num_items**2)
        freedoms.append(len(totals) - 1)
    error = math.sqrt(sum(variances)) / len(means)
    return _by_t(sum(means) / len(means), error, min(freedoms), confidence)


def median(values: Sequence[float], confidence: float) -> Estimate | None:
    """Median, with bounds from order statistics that hold whatever the distribution; None for too few values.

    The k-th smallest of n independent values lies below the median with probability `1 - P(Binomial(n, 1/2) < k)`.
    """
    array = np.array(sorted(values), dtype=np.float64)
    rank = int(stats.binom.ppf(1 - confidence, len(array), 0.5))
    if len(array) == 0 or stats.binom.cdf(rank, len(array), 0.5) > 1 - confidence:
        rank -= 1
    if len(array) == 0 or rank < 0:
        return None
    return Estimate(value=float(np.median(array)), lower=float(array[rank]), upper=float(array[-1 - rank]))


def _cluster_totals(array: NDArray[np.float64], clusters: Sequence[str]) -> NDArray[np.float64]:
    of_value = np.unique(np.array(clusters), return_inverse=True)[1]
    return np.bincount(of_value, weights=array - array.mean()).astype(np.float64)


def _between(totals: NDArray[np.float64]) -> float:
    return len(totals) / (len(totals) - 1) * float(totals @ totals)


def _by_t(mean: float, error: float, freedom: int, confidence: float) -> Estimate:
    reach = float(stats.t.ppf(confidence, freedom)) * error
    return Estimate(value=mean, lower=mean - reach, upper=mean + reach)
