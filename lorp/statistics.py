"""Measured values -> estimates with confidence bounds.

`lower` and `upper` of an estimate are one-sided bounds at the same confidence each; together they are an interval of
confidence `2 * confidence - 1`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its one-sided confidence bounds.

    Attributes:
        value: The estimate.
        lower: Lower bound.
        upper: Upper bound.
        narrowest: How far from the value the bounds would lie had all observations been alike.
    """

    value: float
    lower: float
    upper: float
    narrowest: float = 0.0


def clustered_mean(
    values: ArrayLike, clusters: Sequence[str], confidence: float, weights: ArrayLike | None = None
) -> Estimate:
    """Mean of values, with bounds robust to any dependence within a cluster.

    With n values in G clusters and cluster totals r_g of the deviations from the mean, the standard error is
    `sqrt(G / (G - 1) * sum r_g^2) / n`, and the bounds use Student's t with G - 1 degrees of freedom. Deviations count
    by their weights, whose mean is made 1: as in a mean of window losses over all tokens that were predicted.

    Args:
        values: One an item.
        clusters: The cluster of each, at least two different ones.
        confidence: One-sided, 0.95 say.
        weights: Of each value; all alike unless given.
    """
    array = np.asarray(values, dtype=np.float64)
    mean, totals = _cluster_totals(array, clusters, weights)
    error = math.sqrt(_between(totals)) / len(array)
    return _by_t(mean, error, len(totals) - 1, confidence)


def confidence_sequence(
    values: ArrayLike, clusters: Sequence[str], confidence: float, planned: int, weights: ArrayLike | None = None
) -> Estimate:
    """Mean of values that come in one by one, with bounds that hold at every number of them at once.

    An asymptotic confidence sequence (Waudby-Smith et al., arXiv 2103.06476, theorem 2.2): with n values whose mean has
    the clustered standard error e, the bounds lie `e * sqrt(2 (n r + 1) / (n r) * log(sqrt(n r + 1) / a))` from the
    mean, where a = 2 (1 - confidence) and r makes them closest at `planned` values. For few clusters the reach grows as
    Student's t does over the normal distribution.

    Args:
        values: Those seen so far, one an item.
        clusters: The cluster of each, at least two different ones.
        confidence: One-sided, of each bound.
        planned: For how many values the bounds are to be closest.
        weights: Of each value; all alike unless given.
    """
    array = np.asarray(values, dtype=np.float64)
    mean, totals = _cluster_totals(array, clusters, weights)
    error, doubt = math.sqrt(_between(totals)) / len(array), 2 * (1 - confidence)
    widest = (-2 * math.log(doubt) + math.log(1 - 2 * math.log(doubt))) / planned * len(array)
    reach = error * math.sqrt(2 * (widest + 1) / widest * math.log(math.sqrt(widest + 1) / doubt))
    reach *= float(stats.t.ppf(confidence, len(totals) - 1) / stats.norm.ppf(confidence))
    return Estimate(value=mean, lower=mean - reach, upper=mean + reach)


def bounded_differences(
    values: ArrayLike, clusters: Sequence[str], strata: Sequence[str], confidence: float
) -> Estimate:
    """Mean over strata of the mean of paired differences that lie in [-1, 1], with bounds.

    Most pairs are alike (both right, both not repeating), so that the spread seen says little of what is rare. With
    weights w = 1 / (S n_s) an item, totals r_g of w times the deviations from the stratum's mean, and c the weight of
    the largest cluster, the bounds lie `t * sqrt(G / (G - 1) * sum r_g^2 + c^2) + c (z^2 + 2) / 3` from the mean: the
    upper limit of a Poisson number of clusters, its skewness corrected by Cornish and Fisher's expansion. Where all
    pairs of n clusters are alike, that is about 3.2 / n at 0.95, near the rule of three. Strata may share clusters.

    Args:
        values: One an item, each in [-1, 1].
        clusters: The cluster of each; at least two different ones in every stratum.
        strata: The stratum of each.
        confidence: One-sided, 0.95 say.
    """
    array, of_item, cluster_of = np.array(values, dtype=np.float64), np.asarray(strata), np.asarray(clusters)
    names = np.unique(of_item)
    weights, means, freedoms = np.empty(len(array)), [], []
    for name in names:
        chosen = of_item == name
        weights[chosen] = 1 / (len(names) * chosen.sum())
        means.append(float(array[chosen].mean()))
        array[chosen] -= means[-1]
        freedoms.append(len(np.unique(cluster_of[chosen])) - 1)
    of_cluster = np.unique(cluster_of, return_inverse=True)[1]
    totals = np.bincount(of_cluster, weights=weights * array).astype(np.float64)
    unit = float(np.bincount(of_cluster, weights=weights).max())
    mean, freedom, beyond = sum(means) / len(means), min(freedoms), unit * _skewness(confidence)
    estimate = _by_t(mean, math.sqrt(_between(totals) + unit**2), freedom, confidence, beyond)
    return replace(estimate, narrowest=_by_t(0.0, unit, freedom, confidence, beyond).upper)


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


def _cluster_totals(
    array: NDArray[np.float64], clusters: Sequence[str], weights: ArrayLike | None
) -> tuple[float, NDArray[np.float64]]:
    """The mean, and by cluster the total of the deviations from it."""
    given = np.ones(len(array)) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = given / given.mean()
    mean = float((shares * array).sum() / len(array))
    of_value = np.unique(np.array(clusters), return_inverse=True)[1]
    return mean, np.bincount(of_value, weights=shares * (array - mean)).astype(np.float64)


def _between(totals: NDArray[np.float64]) -> float:
    return len(totals) / (len(totals) - 1) * float(totals @ totals)


def _skewness(confidence: float) -> float:
    return float(stats.norm.ppf(confidence) ** 2 + 2) / 3


def _by_t(mean: float, error: float, freedom: int, confidence: float, beyond: float = 0.0) -> Estimate:
    reach = float(stats.t.ppf(confidence, freedom)) * error + beyond
    return Estimate(value=mean, lower=mean - reach, upper=mean + reach)
