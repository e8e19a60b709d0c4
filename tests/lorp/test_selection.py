"""Selectors: golden plans worked by hand, and the same plans as an oracle that shares nothing with them."""

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle_plan

from lorp.clustering import Clustering
from lorp.depth import resolve_count
from lorp.errors import CountError, SpecError
from lorp.plan import PruningPlan
from lorp.selection import SELECTORS, Grounds, make_plan
from lorp.spec import BY_LOSS, Criterion, Method, PruningSpec

METHODS: tuple[Method, ...] = ("lorp", "shortgpt", "streamline")
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


def symmetric(*rows: Sequence[float]) -> np.ndarray:
    """The symmetric matrix with diagonal 1 and these values above it, one row fewer than blocks."""
    matrix = np.eye(len(rows) + 1)
    matrix[np.triu_indices(len(rows) + 1, k=1)] = [value for row in rows for value in row]
    return matrix + np.triu(matrix, k=1).T


def clustering(*labels: int) -> Clustering:
    return Clustering(kind="spectral", labels=labels)


def plan(
    matrix: np.ndarray, clusters: Clustering, count: float, criterion: Criterion = "similarity", method: Method = "lorp"
) -> PruningPlan:
    spec = PruningSpec(remove=count, method=method, criterion=criterion)
    return make_plan(Grounds(similarity=matrix, clustering=clusters), resolve_count(count, len(matrix)), spec)


def order(matrix: np.ndarray, clusters: Clustering, count: int, criterion: Criterion = "similarity") -> list[int]:
    """The blocks that LoRP removes, in the order in which it chooses them."""
    return [step.block for step in plan(matrix, clusters, count, criterion).steps]


# Two clusters, {0, 1, 2, 3} and {4, 5, 6}. Redundancy (equation 8), over the other members, protected ones too:
#   1: (0.2 + 0.9 + 0.6) / 3 = 0.567   2: (0.6 + 0.9 + 0.5) / 3 = 0.667   3: (0.5 + 0.6 + 0.5) / 3 = 0.533 -> 2, 1, 3
#   4: (0.50 + 0.45) / 2 = 0.475       5: (0.50 + 0.48) / 2 = 0.490                                       -> 5, 4
# Stage 1 takes 2 and 5. Stage 2 looks at what is left (equation 10):
#   {0, 1, 3}: (0.2 + 0.5 + 0.6) / 3 = 0.433   {4, 6}: 0.450   so 4 goes (all members together: 0.550 against 0.477)
# Cluster 1 has no candidate left, so cluster 0 gives 1 and then 3. Were redundancy computed anew without block 2, it
# would be 3 before 1: 1: (0.2 + 0.6) / 2 = 0.40, 3: (0.5 + 0.6) / 2 = 0.55.
TWO_CLUSTERS = symmetric(
    [0.20, 0.60, 0.50, 0.10, 0.10, 0.10],
    [0.90, 0.60, 0.10, 0.10, 0.10],
    [0.50, 0.10, 0.10, 0.10],
    [0.10, 0.10, 0.10],
    [0.50, 0.45],
    [0.48],
)
TWO_LABELS = clustering(0, 0, 0, 0, 1, 1, 1)


@pytest.mark.parametrize(
    ("count", "removed"), [(1, (2,)), (2, (2, 5)), (3, (2, 4, 5)), (4, (1, 2, 4, 5)), (5, (1, 2, 3, 4, 5))]
)
def test_lorp_worked_by_hand(count: int, removed: tuple[int, ...]) -> None:
    assert plan(TWO_CLUSTERS, TWO_LABELS, count).removed == removed


def test_steps_say_what_was_chosen_when_from_where_and_why() -> None:
    steps = plan(TWO_CLUSTERS, TWO_LABELS, 5).steps
    assert [(step.block, step.cluster) for step in steps] == [(2, 0), (5, 1), (4, 1), (1, 0), (3, 0)]
    assert [step.score for step in steps] == pytest.approx([2 / 3, 0.49, 0.475, 17 / 30, 16 / 30])


def test_a_share_of_depth_is_the_count_it_stands_for() -> None:
    assert plan(TWO_CLUSTERS, TWO_LABELS, 0.43) == plan(TWO_CLUSTERS, TWO_LABELS, 3)


# Everything alike: only the rules for ties decide. Stage 1 takes the shallowest eligible block of each cluster, 1 and
# 4. Then the clusters tie and the earlier gives 2, then 3, until it holds nothing but block 0; then 5 and 6.
def test_ties_go_to_the_earlier_cluster_and_the_shallower_block() -> None:
    alike = np.full((8, 8), 0.5) + 0.5 * np.eye(8)
    assert order(alike, clustering(0, 0, 0, 0, 1, 1, 1, 1), 6) == [1, 4, 2, 3, 5, 6]


# Clusters in turn through the depth: {0, 2, 4}, {1, 3, 5}. Stage 1 is in cluster order, so 2 goes before 1.
def test_stage_one_is_in_cluster_order() -> None:
    alike = np.full((6, 6), 0.5) + 0.5 * np.eye(6)
    assert order(alike, clustering(0, 1, 0, 1, 0, 1), 2) == [2, 1]


# Every block alone: it has no other member to be like, and each cluster gives its one block in turn.
@pytest.mark.parametrize(("count", "removed"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3))])
def test_singleton_clusters_give_their_block(count: int, removed: tuple[int, ...]) -> None:
    matrix = symmetric([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7], [0.8, 0.9], [0.95])
    assert plan(matrix, clustering(0, 1, 2, 3, 4), count).removed == removed


# {0, 5} holds protected blocks only and is passed over, though it is most alike. In {1, 2, 3, 4}:
#   1: (0.7 + 0.2 + 0.1) / 3 = 0.333   2: (0.7 + 0.3 + 0.2) / 3 = 0.400   3: (0.2 + 0.3 + 0.6) / 3 = 0.367
#   4: (0.1 + 0.2 + 0.6) / 3 = 0.300   -> 2, 3, 1, 4
# The last of them is alone in its cluster, which then scores -inf, and yet is the only one with a candidate.
def test_a_cluster_of_protected_blocks_gives_nothing() -> None:
    matrix = symmetric([0.1, 0.1, 0.1, 0.1, 0.99], [0.7, 0.2, 0.1, 0.1], [0.3, 0.2, 0.1], [0.6, 0.1], [0.1])
    assert order(matrix, clustering(0, 1, 1, 1, 1, 0), 4) == [2, 3, 1, 4]


# Stage 1 takes 1, 3 and (of {5, 6, 7}, where 7 is protected) 5: (0.5 + 0.6) / 2 = 0.55 before 6: (0.5 + 0.3) / 2 = 0.4.
# Left are 2 alone (-inf), 4 alone (-inf) and {6, 7} (0.3): 6 goes, and its cluster is exhausted. Of the two at -inf the
# earlier gives 2, then the other 4. That 3 and 4 are more alike than 1 and 2 no longer counts.
def test_lonely_blocks_go_last_and_the_earliest_first() -> None:
    matrix = np.full((8, 8), 0.1) + 0.9 * np.eye(8)
    for first, second, value in [(1, 2, 0.2), (3, 4, 0.9), (5, 6, 0.5), (5, 7, 0.6), (6, 7, 0.3)]:
        matrix[first, second] = matrix[second, first] = value
    assert order(matrix, clustering(0, 1, 1, 2, 2, 3, 3, 3), 6) == [1, 3, 5, 6, 2, 4]


# {1, 2} keeps one block after stage 1 and scores -inf; {3, 4, 5} keeps {4, 5}, unlike as they are (-0.5).
def test_a_lonely_block_scores_less_than_any_pair() -> None:
    matrix = np.full((6, 6), 0.5) + 0.5 * np.eye(6)
    matrix[4, 5] = matrix[5, 4] = -0.5
    assert order(matrix, clustering(0, 1, 1, 2, 2, 2), 3) == [1, 3, 4]


# One cluster of five blocks. What the kept blocks leave unexplained, summed over the cluster:
#   first    without 1: 1 - S[1,2] = 0.1   without 2: 1 - S[2,1] = 0.1   without 3: 1 - S[3,2] = 0.2
#            so 1 goes, the shallower of the two that are each other's nearest.
#   second   without 2: 1 -> 3 (0.7), 2 -> 3 (0.2) = 0.9   without 3: 1 -> 2 (0.1), 3 -> 2 (0.2) = 0.3   so 3 goes
#   third    without 2: 1 -> 0 or 4 (0.9), 2 -> 4 (0.7), 3 -> 4 (0.3) = 1.9
# By mean similarity 2 would go first: 1: 1.4 / 4, 2: 2.2 / 4, 3: 1.9 / 4. By the variance that remains, edges would.
ONE_CLUSTER = symmetric([0.1, 0.2, 0.1, 0.1], [0.9, 0.3, 0.1], [0.8, 0.3], [0.7])


@pytest.mark.parametrize(
    ("criterion", "blocks", "scores"),
    [
        ("similarity", [2, 3, 1], [2.2 / 4, 1.9 / 4, 1.4 / 4]),
        ("residual-variance", [1, 3, 2], [0.1 / 5, 0.3 / 5, 1.9 / 5]),
    ],
)
def test_the_criteria_worked_by_hand(criterion: Criterion, blocks: list[int], scores: list[float]) -> None:
    for count in (1, 2, 3):
        steps = plan(ONE_CLUSTER, clustering(0, 0, 0, 0, 0), count, criterion).steps
        assert [step.block for step in steps] == blocks[:count]
        assert [step.score for step in steps] == pytest.approx(scores[:count])


# Allocation is that of stages 1 and 2. In {0, 1, 2, 3} the first to go leaves 1 -> 2 (0.1), 2 -> 1 (0.1) or 3 -> 1
# (0.4): 1 goes. In {4, 5, 6}: 4 -> 5 (0.50), 5 -> 4 (0.50): 4 goes. Left are {0, 2, 3}: (0.6 + 0.5 + 0.5) / 3 = 0.533
# and {5, 6}: 0.48. So cluster 0 gives the next: without 2: 1 -> 3 (0.4), 2 -> 0 (0.4) = 0.8; without 3: 1 -> 2 (0.1),
# 3 -> 0 or 2 (0.5) = 0.6: 3 goes. Then {0, 2} at 0.6 gives 2, and cluster 1 the last, 5.
def test_residual_variance_shares_out_as_lorp_does() -> None:
    assert order(TWO_CLUSTERS, TWO_LABELS, 5, "residual-variance") == [1, 4, 3, 2, 5]


# Blocks 3 and 2 go first. Then 1 and 4 are each other's nearest (0.24) and no other block's, so that taking either
# leaves the same unexplained: 1 for its depth. The sums differ in their last bit where they are rounded as they grow.
def test_a_tie_of_nearest_neighbours_goes_to_the_shallower_whatever_the_rounding() -> None:
    matrix = symmetric(
        [0.07, 0.34, 0.01, 0.10, 0.09], [0.07, 0.01, 0.24, 0.08], [0.31, 0.27, 0.05], [0.02, 0.36], [0.06]
    )
    assert order(matrix, clustering(0, 0, 0, 0, 0, 0), 3, "residual-variance") == [3, 2, 1]


def test_residual_variance_always_keeps_one_of_a_cluster() -> None:
    matrix = np.full((6, 6), 0.5) + 0.5 * np.eye(6)
    clusters = clustering(0, 1, 1, 2, 2, 3)
    assert plan(matrix, clusters, 2, "residual-variance").removed == (1, 3)
    with pytest.raises(CountError, match="only 2 blocks can be removed with these clusters, and 3 are"):
        plan(matrix, clusters, 3, "residual-variance")
    with pytest.raises(CountError, match="only 0 blocks"):
        plan(matrix, clustering(0, 1, 2, 3, 4, 5), 1, "residual-variance")


# S[b, b + 1] is 0.99, 0.7, 0.9, 0.7, 0.8 for b = 0 to 4. Block 0 is protected; 1 and 3 tie.
SIX_BLOCKS = symmetric([0.99, 0.98, 0.97, 0.96, 0.95], [0.7, 0.5, 0.4, 0.3], [0.9, 0.6, 0.2], [0.7, 0.6], [0.8])


def test_shortgpt_removes_the_blocks_that_change_least_worked_by_hand() -> None:
    found = plan(SIX_BLOCKS, clustering(0, 0, 0, 1, 1, 1), 4, method="shortgpt")
    assert [step.block for step in found.steps] == [2, 4, 1, 3]
    assert [step.score for step in found.steps] == [0.9, 0.8, 0.7, 0.7]
    assert plan(SIX_BLOCKS, clustering(0, 0, 0, 1, 1, 1), 3, method="shortgpt").removed == (1, 2, 4)


# The run s .. s + k - 1 with the highest S[s, s + k], s of 1 or more, and block 5 kept:
#   k = 1: S[1,2] 0.7, S[2,3] 0.9, S[3,4] 0.7, S[4,5] 0.8   k = 2: S[1,3] 0.5, S[2,4] 0.6, S[3,5] 0.6
#   k = 3: S[1,4] 0.4, S[2,5] 0.2                           k = 4: S[1,5] 0.3
@pytest.mark.parametrize(("count", "removed"), [(1, (2,)), (2, (2, 3)), (3, (1, 2, 3)), (4, (1, 2, 3, 4))])
def test_streamline_removes_the_run_whose_ends_are_most_alike_worked_by_hand(
    count: int, removed: tuple[int, ...]
) -> None:
    assert plan(SIX_BLOCKS, clustering(0, 0, 0, 1, 1, 1), count, method="streamline").removed == removed


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, -1, 6, 7, 1.0, math.nan])
def test_a_count_that_cannot_be_met_is_an_error_and_not_a_shorter_plan(method: Method, count: float) -> None:
    with pytest.raises(CountError):
        plan(TWO_CLUSTERS, TWO_LABELS, count, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_the_plan_names_its_method_and_the_matrix_stays(method: Method) -> None:
    matrix = TWO_CLUSTERS.copy()
    found = plan(matrix, TWO_LABELS, 3, method=method)
    assert (found.method, found.num_blocks) == (method, 7)
    assert np.array_equal(matrix, TWO_CLUSTERS)


def test_every_method_that_can_be_asked_for_has_a_selector() -> None:
    assert set(SELECTORS) == set(get_args(Method))


@pytest.mark.parametrize("method", get_args(Method))
def test_the_selectors_that_ask_what_plans_cost_are_those_that_get_a_model(method: Method) -> None:
    def needs_a_model() -> bool:
        try:
            plan(TWO_CLUSTERS, TWO_LABELS, 2, method=method)
        except SpecError:
            return True
        return False

    assert needs_a_model() == (method in BY_LOSS) == PruningSpec(method=method).asks_trials


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Clustering]:
    """A matrix of 3 to 14 blocks and a clustering of them.

    Values are multiples of 1/64 in (0, 1), so that sums are exact and a tie is a tie in whatever order one adds up;
    often of few different values, so that there are ties.
    """
    num_blocks = draw(st.integers(3, 14))
    num_above = num_blocks * (num_blocks - 1) // 2
    values = st.sampled_from(draw(st.sampled_from([[16, 32], [8, 24, 40, 56], list(range(1, 64))])))
    above = draw(st.lists(values, min_size=num_above, max_size=num_above))
    matrix = np.eye(num_blocks)
    matrix[np.triu_indices(num_blocks, k=1)] = np.array(above) / 64
    raw = draw(st.lists(st.integers(0, draw(st.integers(0, 5))), min_size=num_blocks, max_size=num_blocks))
    numbers: dict[int, int] = {}
    return matrix + np.triu(matrix, k=1).T, clustering(*(numbers.setdefault(label, len(numbers)) for label in raw))


def removed_or_none(case: tuple[np.ndarray, Clustering], count: int, method: Method, criterion: Criterion) -> object:
    try:
        return list(plan(*case, count, criterion, method).removed)
    except CountError:
        return None


@pytest.mark.parametrize(
    ("method", "criterion"),
    [*(("lorp", criterion) for criterion in CRITERIA), *((m, CRITERIA[0]) for m in METHODS[1:])],
)
@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_every_count_gives_the_oracle_s_plan_or_both_refuse(
    method: Method, criterion: Criterion, case: tuple[np.ndarray, Clustering]
) -> None:
    matrix, clusters = case[0].tolist(), [list(members) for members in case[1].clusters]
    for count in range(1, len(matrix) - 1):
        expected = oracle_plan(method, matrix, clusters, count, criterion)
        assert removed_or_none(case, count, method, criterion) == expected
        assert expected is not None or criterion == "residual-variance"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("criterion", CRITERIA)
@given(case=cases())
@settings(max_examples=50, deadline=None)
def test_a_plan_removes_exactly_so_many_blocks_and_never_the_first_or_the_last(
    method: Method, criterion: Criterion, case: tuple[np.ndarray, Clustering]
) -> None:
    num_blocks = len(case[0])
    for count in range(1, num_blocks - 1):
        removed = removed_or_none(case, count, method, criterion)
        if removed is not None:
            assert isinstance(removed, list)
            assert len(set(removed)) == len(removed) == count
            assert removed == sorted(removed)
            assert set(removed) <= set(range(1, num_blocks - 1))


@pytest.mark.parametrize(
    ("method", "criterion"), [("lorp", "similarity"), ("lorp", "residual-variance"), ("shortgpt", "similarity")]
)
@given(case=cases())
@settings(max_examples=50, deadline=None)
def test_a_larger_count_keeps_the_smaller_plan_s_steps(
    method: Method, criterion: Criterion, case: tuple[np.ndarray, Clustering]
) -> None:
    smaller: tuple[object, ...] = ()
    for count in range(1, len(case[0]) - 1):
        if removed_or_none(case, count, method, criterion) is None:
            break
        steps = plan(*case, count, criterion, method).steps
        assert steps[:-1] == smaller
        smaller = steps


@given(case=cases())
@settings(max_examples=50, deadline=None)
def test_streamline_removes_one_run(case: tuple[np.ndarray, Clustering]) -> None:
    for count in range(1, len(case[0]) - 1):
        removed = plan(*case, count, method="streamline").removed
        assert removed == tuple(range(removed[0], removed[0] + count))
