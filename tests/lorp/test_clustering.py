"""Clustering: how many clusters follow from RLS, and which blocks go together."""

import numpy as np
import pytest

from lorp.clustering import Clustering, cluster_blocks, num_clusters_for
from lorp.spec import ClusteringKind

KINDS: tuple[ClusteringKind, ...] = ("spectral", "agglomerative")


def grouped(labels: list[int]) -> np.ndarray:
    """Similarity 0.95 within a group of blocks and 0.05 across groups."""
    same = np.equal.outer(labels, labels)
    matrix = np.where(same, 0.95, 0.05)
    np.fill_diagonal(matrix, 1.0)
    return matrix


@pytest.mark.parametrize(
    ("rls", "num_clusters"),
    [
        (5.0, 2),
        (1.149, 2),
        (1.0, 2),
        (np.nextafter(1.0, 0.0), 3),
        (0.941, 3),
        (0.926, 3),
        (0.7, 3),
        (np.nextafter(0.7, 0.0), 4),
        (0.685, 4),
        (0.644, 4),
        (0.0, 4),
    ],
)
def test_the_number_of_clusters_follows_from_rls(rls: float, num_clusters: int) -> None:
    assert num_clusters_for(rls) == num_clusters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "labels",
    [
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 2, 2, 2, 2],
        [0, 0, 0, 1, 1, 2, 2, 2, 3, 3],
        [0, 1, 0, 1, 0, 1],
        [0, 0, 1, 1, 2, 2, 0, 0],
    ],
)
def test_groups_that_stand_apart_are_the_clusters_by_depth(kind: ClusteringKind, labels: list[int]) -> None:
    found = cluster_blocks(grouped(labels), max(labels) + 1, kind)
    assert found == Clustering(kind=kind, labels=tuple(labels))


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_are_numbered_by_the_depth_at_which_each_first_appears(kind: ClusteringKind) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        noise = rng.uniform(0.0, 0.05, size=(9, 9))
        matrix = grouped(rng.integers(3, size=9).tolist()) - noise - noise.T
        np.fill_diagonal(matrix, 1.0)
        labels = cluster_blocks(matrix, 3, kind).labels
        assert [label for place, label in enumerate(labels) if label not in labels[:place]] == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_matrix_gives_the_same_clusters_even_where_there_are_none_to_see(kind: ClusteringKind) -> None:
    noise = np.random.default_rng(0).uniform(size=(30, 30))
    matrix = (noise + noise.T) / 2
    np.fill_diagonal(matrix, 1.0)
    assert len({cluster_blocks(matrix.copy(), 8, kind) for _ in range(5)}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrix_is_not_changed(kind: ClusteringKind) -> None:
    matrix = grouped([0, 0, 1, 1])
    cluster_blocks(matrix, 2, kind)
    assert np.array_equal(matrix, grouped([0, 0, 1, 1]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_clusters", [4, 5, 100])
def test_there_are_never_more_clusters_than_blocks(kind: ClusteringKind, num_clusters: int) -> None:
    assert cluster_blocks(grouped([0, 0, 1, 1]), num_clusters, kind).labels == (0, 1, 2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_one_cluster_holds_all_blocks(kind: ClusteringKind) -> None:
    assert cluster_blocks(grouped([0, 0, 1, 1]), 1, kind).labels == (0, 0, 0, 0)


def test_average_linkage_worked_by_hand() -> None:
    """Distances 1 - S of five blocks:

            0     1     2     3     4
        0   -   0.10  0.40  0.80  0.90
        1         -   0.50  0.60  0.70
        2               -   0.30  0.62
        3                     -   0.56

    First 0 and 1 join (0.10), then 2 and 3 (0.30). Now, on average, {0,1} is (0.40 + 0.80 + 0.50 + 0.60) / 4 = 0.575
    from {2,3}; 4 is (0.90 + 0.70) / 2 = 0.80 from {0,1} and (0.62 + 0.56) / 2 = 0.59 from {2,3}. So {0,1} and {2,3}
    join and 4 stays alone. By the nearest pair {0,1} and {2,3} would join too (0.40), but by the furthest pair (0.80)
    4 would join {2,3} (0.62) instead.
    """
    distance = np.zeros((5, 5))
    distance[np.triu_indices(5, k=1)] = [0.10, 0.40, 0.80, 0.90, 0.50, 0.60, 0.70, 0.30, 0.62, 0.56]
    matrix = 1 - distance - distance.T
    found = {number: cluster_blocks(matrix, number, "agglomerative").labels for number in (4, 3, 2)}
    assert found == {4: (0, 0, 1, 2, 3), 3: (0, 0, 1, 1, 2), 2: (0, 0, 0, 0, 1)}


def test_average_linkage_is_not_that_of_the_nearest_pair() -> None:
    """Distances 1 - S of five blocks:

            0     1     2     3     4
        0   -   0.10  0.40  0.80  0.90
        1         -   0.70  0.60  0.70
        2               -   0.30  0.62
        3                     -   0.56

    As above, but {0,1} is (0.40 + 0.80 + 0.70 + 0.60) / 4 = 0.625 from {2,3}, and 4 is 0.59 from it: 4 joins {2,3}. The
    nearest pair would still join {0,1} and {2,3} (0.40).
    """
    distance = np.zeros((5, 5))
    distance[np.triu_indices(5, k=1)] = [0.10, 0.40, 0.80, 0.90, 0.70, 0.60, 0.70, 0.30, 0.62, 0.56]
    matrix = 1 - distance - distance.T
    assert cluster_blocks(matrix, 2, "agglomerative").labels == (0, 0, 1, 1, 1)


def test_clusters_list_the_blocks_of_each() -> None:
    assert Clustering(kind="spectral", labels=(0, 1, 0, 2, 1)).clusters == ((0, 2), (1, 4), (3,))
