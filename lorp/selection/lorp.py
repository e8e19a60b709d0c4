"""LoRP (arXiv 2605.27786, section 4): redundancy within clusters of blocks, allocation over them in two stages."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lorp.errors import CountError
from lorp.plan import PruningPlan, Removal, plan_of
from lorp.selection.grounds import Grounds, eligible
from lorp.similarity import Matrix
from lorp.spec import Criterion, PruningSpec

#: Given the similarity, a cluster's members and those of them still kept, the eligible block to remove next with its
#: score; None if there is none.
NextCandidate = Callable[[Matrix, tuple[int, ...], list[int]], tuple[int, float] | None]


def select(grounds: Grounds, count: int, spec: PruningSpec) -> PruningPlan:
    """Stage 1 takes a block from each cluster; stage 2 always from the cluster that is most alike (equations 9-11).

    Raises:
        CountError: The clusters do not hold so many blocks that may go.
    """
    next_candidate = _CRITERIA[spec.criterion]
    similarity, clusters = grounds.similarity, grounds.clustering.clusters
    kept = [list(members) for members in clusters]
    steps: list[Removal] = []

    def candidate(cluster: int) -> tuple[int, float] | None:
        return next_candidate(similarity, clusters[cluster], kept[cluster])

    def take(cluster: int) -> None:
        chosen = candidate(cluster)
        assert chosen is not None
        kept[cluster].remove(chosen[0])
        steps.append(Removal(block=chosen[0], cluster=cluster, score=chosen[1]))

    for cluster in range(len(clusters)):
        if len(steps) < count and candidate(cluster):
            take(cluster)
    while len(steps) < count:
        open_clusters = [cluster for cluster in range(len(clusters)) if candidate(cluster)]
        if not open_clusters:
            raise CountError(
                f"only {len(steps)} blocks can be removed with these clusters, and {count} are asked for",
                "Remove fewer, or ask for fewer clusters with --clusters",
            )
        take(max(open_clusters, key=lambda cluster: (_mean_pairwise(similarity, kept[cluster]), -cluster)))
    return plan_of("lorp", len(similarity), steps)


def _mean_pairwise(similarity: Matrix, blocks: list[int]) -> float:
    """Mean similarity of two different blocks (equation 10); -inf for fewer than two."""
    if len(blocks) < 2:
        return -np.inf
    among = similarity[np.ix_(blocks, blocks)]
    return _exact_mean(among[np.triu_indices(len(blocks), k=1)])


def _exact_mean(values: NDArray[np.float64]) -> float:
    """A mean that does not depend on the order of the values, so that what ties on paper ties here."""
    return math.fsum(values) / len(values)


def _most_similar(similarity: Matrix, members: tuple[int, ...], kept: list[int]) -> tuple[int, float] | None:
    """The block with the highest mean similarity to all other members (equation 8), shallower on ties.

    The mean is over all members, removed ones too, so the order within a cluster never changes.
    """

    def redundancy(block: int) -> float:
        others = [member for member in members if member != block]
        return _exact_mean(similarity[block, others]) if others else 0.0

    scored = [(block, redundancy(block)) for block in sorted(set(kept) & set(eligible(len(similarity))))]
    return max(scored, key=lambda pair: (pair[1], -pair[0]), default=None)


def _least_residual(similarity: Matrix, members: tuple[int, ...], kept: list[int]) -> tuple[int, float] | None:
    """The block whose removal leaves the lowest residual variance, shallower on ties; the last one kept stays.

    The residual variance of keeping R of cluster C is the mean over m in C of `1 - max over r in R of S[m, r]`.
    """
    if len(kept) < 2:
        return None

    def residual_without(block: int) -> float:
        left = [other for other in kept if other != block]
        return _exact_mean(1 - similarity[np.ix_(members, left)].max(axis=1))

    scored = [(block, residual_without(block)) for block in sorted(set(kept) & set(eligible(len(similarity))))]
    return min(scored, key=lambda pair: (pair[1], pair[0]), default=None)


_CRITERIA: dict[Criterion, NextCandidate] = {
    "similarity": _most_similar,
    "residual-variance": _least_residual,
}
