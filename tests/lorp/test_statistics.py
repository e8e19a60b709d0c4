"""Estimates: bounds that hold for dependent values, for few values, and for values that are all alike."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from lorp.statistics import bounded_differences, clustered_mean, median


def random_losses(seed: int = 0, num_windows: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 0.3, size=num_windows)


# Clusters (1, 3) and (4, 8): mean 4, deviations -3, -1, 0, 4, totals -4 and 4. The standard error is
# sqrt(2 / 1 * (16 + 16)) / 4 = 2, and Student's t at 0.95 with 1 degree of freedom is 6.313752 (0.9: 3.077684).
@pytest.mark.parametrize(("confidence", "upper"), [(0.95, 4 + 2 * 6.313752), (0.9, 4 + 2 * 3.077684)])
def test_the_bound_worked_by_hand(confidence: float, upper: float) -> None:
    estimate = clustered_mean([1.0, 3.0, 4.0, 8.0], ["a", "a", "b", "b"], confidence)
    assert estimate.value == 4.0
    assert estimate.upper == pytest.approx(upper, abs=1e-5)


# Clusters of 1 and 3: mean 3, deviations -3, 1, 1, 1 (0, 4, 4, 4 given), totals -3 and 3: sqrt(2 * 18) / 4 = 1.5.
def test_the_bound_of_unequal_clusters_worked_by_hand() -> None:
    estimate = clustered_mean([0.0, 4.0, 4.0, 4.0], ["a", "b", "b", "b"], 0.95)
    assert (estimate.value, estimate.upper) == pytest.approx((3.0, 3 + 1.5 * 6.313752), abs=1e-5)


@pytest.mark.parametrize("num_values", [2, 3, 30, 64])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_document_a_window_gives_the_ordinary_t_bound(num_values: int, confidence: float) -> None:
    values = random_losses(num_values, num_values)
    estimate = clustered_mean(values, [str(number) for number in range(num_values)], confidence)
    error = float(stats.sem(values))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.upper == pytest.approx(stats.t.ppf(confidence, num_values - 1, loc=values.mean(), scale=error))


def test_the_bound_is_wider_where_windows_of_a_document_are_alike() -> None:
    rng = np.random.default_rng(0)
    of_document = np.repeat(rng.normal(size=20), 3)
    values = of_document + rng.normal(0.0, 0.1, size=60)
    tied = clustered_mean(values, [str(number // 3) for number in range(60)], 0.95)
    loose = clustered_mean(values, [str(number) for number in range(60)], 0.95)
    assert tied.value == loose.value
    assert tied.upper - tied.value > 1.5 * (loose.upper - loose.value)


def test_the_order_of_windows_does_not_matter_to_the_bound() -> None:
    values, clusters = random_losses(), [str(number % 7) for number in range(60)]
    mixed = np.random.default_rng(1).permutation(60)
    one = clustered_mean(values, clusters, 0.95)
    other = clustered_mean(values[mixed], [clusters[place] for place in mixed], 0.95)
    assert (one.value, one.upper) == pytest.approx((other.value, other.upper), rel=1e-12)


def test_values_all_alike_are_their_own_bound() -> None:
    assert clustered_mean([0.0] * 4, ["a", "a", "b", "b"], 0.95).upper == 0.0


def test_a_true_ratio_at_the_budget_is_seldom_approved() -> None:
    """2,000 models at the budget: about 5 % approved, though windows of one of 20 documents are alike."""
    num_trials, num_documents, num_windows = 2_000, 20, 3
    rng = np.random.default_rng(0)
    of_document = rng.normal(0.0, 0.10, size=(num_trials, num_documents, 1))
    noise = rng.normal(0.0, 0.05, size=(num_trials, num_documents, num_windows))
    trials = (math.log(1.5) + of_document + noise).reshape(num_trials, -1)
    documents = [str(number // num_windows) for number in range(num_documents * num_windows)]
    bounds = np.array([clustered_mean(trial, documents, 0.95).upper for trial in trials])
    approved = float((bounds <= math.log(1.5)).mean())
    three_errors = 3 * math.sqrt(0.05 * 0.95 / num_trials)
    assert 0.05 - three_errors < approved < 0.05 + three_errors


def test_bounds_lie_on_both_sides_alike() -> None:
    estimate = clustered_mean([1.0, 3.0, 4.0, 8.0], ["a", "a", "b", "b"], 0.95)
    assert estimate.value - estimate.lower == pytest.approx(estimate.upper - estimate.value)


# Two strata of two: d = (1, 0) and (0, 0), weights 1/4. Means 1/2 and 0, mean over strata 1/4. Clusters a and b:
# totals +-1/8, each of weight 1/2; error sqrt(2 * 2/64 + 1/4) = 0.559017; t at 0.95 with 1 degree of freedom is
# 6.313752, and (1.644854^2 + 2) / 3 = 1.568514.
def test_bounded_differences_worked_by_hand() -> None:
    estimate = bounded_differences([1.0, 0.0, 0.0, 0.0], ["a", "b", "a", "b"], ["x", "x", "y", "y"], 0.95)
    reach = 6.313752 * 0.559017 + 1.568514 / 2
    assert estimate.value == 0.25
    assert (estimate.lower, estimate.upper) == pytest.approx((0.25 - reach, 0.25 + reach), abs=1e-5)


def test_differences_that_are_all_alike_still_leave_room() -> None:
    few, many = (
        bounded_differences([0.0] * count, [str(index) for index in range(count)], [""] * count, 0.95)
        for count in (30, 300)
    )
    assert 0 < many.upper < few.upper < 0.12


def test_items_of_one_cluster_count_as_one() -> None:
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 10
    apart = bounded_differences(values, [str(index) for index in range(60)], [""] * 60, 0.95)
    together = bounded_differences(values, [str(index // 3) for index in range(60)], [""] * 60, 0.95)
    assert together.upper - together.value > 1.5 * (apart.upper - apart.value)


def test_without_any_difference_the_rule_of_three_holds() -> None:
    estimate = bounded_differences([0.0] * 100, [str(index) for index in range(100)], [""] * 100, 0.95)
    assert 1 - 0.05 ** (1 / 100) < estimate.upper < 0.034
    assert estimate.narrowest == estimate.upper


NUM_TRIALS = 2_000


def approved(trials: np.ndarray, clusters: list[str], strata: list[str], budget: float) -> float:
    """Share of trials whose bound is within the budget."""
    return float(np.mean([bounded_differences(trial, clusters, strata, 0.95).upper <= budget for trial in trials]))


@pytest.mark.parametrize("reverse", [0.0, 0.01, 0.1])
@pytest.mark.parametrize(("drop", "num_items"), [(0.1, 30), (0.05, 40), (0.02, 100), (0.04, 200), (0.1, 100)])
def test_a_true_drop_at_the_budget_is_seldom_approved(drop: float, num_items: int, reverse: float) -> None:
    rng = np.random.default_rng(0)
    odds = [reverse + drop, reverse, 1 - 2 * reverse - drop]
    trials = rng.choice([1.0, -1.0, 0.0], p=odds, size=(NUM_TRIALS, num_items))
    clusters = [str(index) for index in range(num_items)]
    assert approved(trials, clusters, [""] * num_items, drop) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / NUM_TRIALS)


@pytest.mark.parametrize(("num_clusters", "size", "odds"), [(10, 10, 0.1), (20, 5, 0.05), (20, 5, 0.2)])
def test_documents_that_fail_whole_are_seldom_approved(num_clusters: int, size: int, odds: float) -> None:
    rng = np.random.default_rng(0)
    trials = np.repeat((rng.random((NUM_TRIALS, num_clusters)) < odds).astype(float), size, axis=1)
    clusters = [str(index // size) for index in range(num_clusters * size)]
    assert approved(trials, clusters, [""] * len(clusters), odds) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / NUM_TRIALS)


def test_tasks_that_share_documents_are_not_independent() -> None:
    """Four tasks over the same 60 passages, answered alike."""
    rng = np.random.default_rng(0)
    passages = rng.choice([1.0, -1.0, 0.0], p=[0.15, 0.05, 0.8], size=(NUM_TRIALS, 60))
    clusters, strata = [str(index) for index in range(60)] * 4, [str(index // 60) for index in range(240)]
    assert approved(np.tile(passages, 4), clusters, strata, 0.1) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / NUM_TRIALS)


@pytest.mark.parametrize(("count", "rank"), [(5, 0), (7, 0), (8, 1), (11, 2), (20, 5)])
def test_the_median_s_bounds_are_order_statistics(count: int, rank: int) -> None:
    # Smallest rank with P(Binomial(n, 1/2) <= rank) <= 0.05, counted from 0.
    estimate = median([float(value) for value in range(count)][::-1], 0.95)
    assert estimate is not None
    assert (estimate.value, estimate.lower, estimate.upper) == ((count - 1) / 2, rank, count - 1 - rank)


@pytest.mark.parametrize(("count", "confidence"), list(product([0, 1, 4], [0.95, 0.99])))
def test_too_few_values_have_no_bounded_median(count: int, confidence: float) -> None:
    assert median([1.0] * count, confidence) is None


def test_one_wild_value_does_not_move_the_median_s_bounds() -> None:
    calm = [1.0 + 0.01 * index for index in range(11)]
    assert median([*calm[:-1], 1000.0], 0.95) == median(calm, 0.95)


def test_a_weighted_mean_is_that_of_values_that_stand_so_often() -> None:
    clusters = [str(number) for number in range(6)]
    values, weights = np.array([1.0, 3.0, 4.0, 8.0, 2.0, 5.0]), [1, 2, 3, 1, 2, 3]
    one = clustered_mean(values, clusters, 0.95, weights)
    other = clustered_mean(np.repeat(values, weights), np.repeat(clusters, weights).tolist(), 0.95)
    assert (one.value, one.upper) == pytest.approx((other.value, other.upper))


def test_equal_weights_change_nothing_to_the_last_bit() -> None:
    values, clusters = np.random.default_rng(0).normal(size=60), [str(number // 3) for number in range(60)]
    assert clustered_mean(values, clusters, 0.95, [255] * 60) == clustered_mean(values, clusters, 0.95)
