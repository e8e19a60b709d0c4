"""Similarity of block inputs -> clusters of blocks, numbered by the depth at which each first appears."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import AgglomerativeClustering, SpectralClustering

from lorp.errors import SimilarityError
from lorp.similarity import Matrix
from lorp.spec import ClusteringKind


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """Clusters of the N blocks.

    Attributes:
        kind: How they were found.
        labels: Cluster of each block.
    """

    kind: ClusteringKind
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.labels
        assert all(0 <= label < len(self.labels) for label in self.labels)

    @property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """The blocks of each cluster, ascending."""
        return tuple(
            tuple(block for block, label in enumerate(self.labels) if label == cluster)
            for cluster in range(max(self.labels) + 1)
        )


def num_clusters_for(rls: float) -> int:
    """Number of clusters that follows from RLS (arXiv 2605.27786, section 5.1)."""
    if rls >= 1.0:
        return 2
    return 3 if rls >= 0.7 else 4


def cluster_blocks(similarity: Matrix, num_clusters: int, kind: ClusteringKind) -> Clustering:
    """Clusters N blocks by the N x N similarity of their inputs.

    Spectral: affinity `(S + 1) / 2` (equation 7), k-means labels, random state 0. Agglomerative: average linkage on
    the distance `1 - S`. More clusters than blocks become as many as there are blocks.

    Raises:
        SimilarityError: The blocks cannot be told apart into so many clusters.
    """
    num_blocks = len(similarity)
    num_clusters = min(num_clusters, num_blocks)
    if num_clusters in (1, num_blocks):
        raw = np.arange(num_blocks) % num_clusters
    elif kind == "spectral":
        raw = _spectral(similarity, num_clusters)
    else:
        raw = _agglomerative(similarity, num_clusters)
    labels = _by_depth(raw)
    if max(labels) + 1 != num_clusters:
        raise SimilarityError(
            f"{kind} clustering found {max(labels) + 1} clusters of blocks, not {num_clusters}",
            "Ask for fewer with --clusters",
        )
    return Clustering(kind=kind, labels=labels)


def _spectral(similarity: Matrix, num_clusters: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    model = SpectralClustering(n_clusters=num_clusters, affinity="precomputed", assign_labels="kmeans", random_state=0)
    return model.fit_predict((similarity + 1) / 2)  # type: ignore[no-any-return]


def _agglomerative(similarity: Matrix, num_clusters: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    model = AgglomerativeClustering(n_clusters=num_clusters, metric="precomputed", linkage="average")
    return model.fit_predict(1 - similarity)  # type: ignore[no-any-return]


def _by_depth(raw: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> tuple[int, ...]:
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(int(label), len(numbers)) for label in raw)
