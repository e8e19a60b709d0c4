"""The gate: bounds that hold for dependent windows, budgets kept to the letter, and no verdict on what is unusable."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.gate import MIN_WINDOWS, CriterionResult, clustered_upper_bound, judge
from lorp.spec import GateSpec

BOTH = GateSpec(max_perplexity_ratio=1.5, max_perplexity=100.0)


def evaluation(losses: Sequence[float | None], num_documents: int = 10) -> PerplexityEvaluation:
    """Windows of 255 predicted tokens, dealt out to documents in turn."""
    items = [
        WindowLoss(
            window=f"{number % num_documents}@{number}",
            document=str(number % num_documents),
            num_predicted=255,
            loss=loss,
        )
        for number, loss in enumerate(losses)
    ]
    return PerplexityEvaluation(
        checkpoint="c" * 64, windows_sha256="w" * 64, num_expected=len(items), losses=tuple(items)
    )


def random_losses(seed: int = 0, num_windows: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 0.3, size=num_windows)


DENSE = evaluation([3.0] * 60)
#: Its bounds, at 1.1 and 22, are far within both budgets.
PRUNED = evaluation([3.0 + math.log(1.1)] * 60)


def only(results: tuple[CriterionResult, ...]) -> CriterionResult:
    (result,) = results
    return result


# Clusters (1, 3) and (4, 8): mean 4, deviations -3, -1, 0, 4, totals -4 and 4. The standard error is
# sqrt(2 / 1 * (16 + 16)) / 4 = 2, and Student's t at 0.95 with 1 degree of freedom is 6.313752 (0.9: 3.077684).
@pytest.mark.parametrize(("confidence", "upper"), [(0.95, 4 + 2 * 6.313752), (0.9, 4 + 2 * 3.077684)])
def test_the_bound_worked_by_hand(confidence: float, upper: float) -> None:
    estimate = clustered_upper_bound([1.0, 3.0, 4.0, 8.0], ["a", "a", "b", "b"], confidence)
    assert estimate.mean == 4.0
    assert estimate.upper == pytest.approx(upper, abs=1e-5)


# Clusters of 1 and 3: mean 3, deviations -3, 1, 1, 1 (0, 4, 4, 4 given), totals -3 and 3: sqrt(2 * 18) / 4 = 1.5.
def test_the_bound_of_unequal_clusters_worked_by_hand() -> None:
    estimate = clustered_upper_bound([0.0, 4.0, 4.0, 4.0], ["a", "b", "b", "b"], 0.95)
    assert (estimate.mean, estimate.upper) == pytest.approx((3.0, 3 + 1.5 * 6.313752), abs=1e-5)


@pytest.mark.parametrize("num_values", [2, 3, 30, 64])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_document_a_window_gives_the_ordinary_t_bound(num_values: int, confidence: float) -> None:
    values = random_losses(num_values, num_values)
    estimate = clustered_upper_bound(values, [str(number) for number in range(num_values)], confidence)
    error = float(stats.sem(values))
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.upper == pytest.approx(stats.t.ppf(confidence, num_values - 1, loc=values.mean(), scale=error))


def test_the_bound_is_wider_where_windows_of_a_document_are_alike() -> None:
    rng = np.random.default_rng(0)
    of_document = np.repeat(rng.normal(size=20), 3)
    values = of_document + rng.normal(0.0, 0.1, size=60)
    tied = clustered_upper_bound(values, [str(number // 3) for number in range(60)], 0.95)
    loose = clustered_upper_bound(values, [str(number) for number in range(60)], 0.95)
    assert tied.mean == loose.mean
    assert tied.upper - tied.mean > 1.5 * (loose.upper - loose.mean)


def test_the_order_of_windows_does_not_matter_to_the_bound() -> None:
    values, clusters = random_losses(), [str(number % 7) for number in range(60)]
    mixed = np.random.default_rng(1).permutation(60)
    one = clustered_upper_bound(values, clusters, 0.95)
    other = clustered_upper_bound(values[mixed], [clusters[place] for place in mixed], 0.95)
    assert (one.mean, one.upper) == pytest.approx((other.mean, other.upper), rel=1e-12)


def test_values_all_alike_are_their_own_bound() -> None:
    assert clustered_upper_bound([0.0] * 4, ["a", "a", "b", "b"], 0.95).upper == 0.0


def test_what_is_within_every_budget_is_approved() -> None:
    results = judge(DENSE, PRUNED, BOTH)
    assert [result.name for result in results] == ["perplexity_ratio", "perplexity"]
    assert [result.budget for result in results] == [1.5, 100.0]
    assert all(result.passed for result in results)
    assert [result.value for result in results] == pytest.approx([1.1, 1.1 * math.exp(3)])


def test_value_and_bound_are_those_of_paired_windows() -> None:
    dense, shift = random_losses(1), random_losses(2) / 10
    documents = [str(number % 10) for number in range(60)]
    ratio, absolute = judge(evaluation(dense.tolist()), evaluation((dense + shift).tolist()), BOTH)
    for result, values in ((ratio, shift), (absolute, dense + shift)):
        expected = clustered_upper_bound(values, documents, 0.95)
        assert result.value == pytest.approx(math.exp(expected.mean))
        assert result.bound == pytest.approx(math.exp(expected.upper))
    assert ratio.value == pytest.approx(
        evaluation((dense + shift).tolist()).perplexity / evaluation(dense.tolist()).perplexity
    )


def test_the_gate_goes_by_the_bound_and_not_by_the_value() -> None:
    shift = math.log(1.4) + np.random.default_rng(0).normal(0.0, 0.5, size=60)
    result = only(judge(DENSE, evaluation((3.0 + shift).tolist()), GateSpec(max_perplexity_ratio=1.5)))
    assert result.value is not None
    assert result.bound is not None
    assert result.value < 1.5 < result.bound
    assert not result.passed


def test_more_confidence_gives_a_higher_bound() -> None:
    pruned = evaluation(random_losses().tolist())
    bounds = [only(judge(DENSE, pruned, GateSpec(confidence=confidence))).bound for confidence in (0.6, 0.9, 0.99)]
    assert bounds == sorted(bounds, key=lambda bound: bound or 0.0)
    assert len(set(bounds)) == 3


def test_a_bound_at_the_budget_passes_and_one_above_it_does_not() -> None:
    pruned = evaluation((np.array([3.0] * 60) + random_losses() / 10).tolist())
    bound = only(judge(DENSE, pruned, GateSpec())).bound
    assert bound is not None
    at, below = (
        only(judge(DENSE, pruned, GateSpec(max_perplexity_ratio=budget))) for budget in (bound, np.nextafter(bound, 0))
    )
    assert (at.passed, below.passed) == (True, False)
    assert "within" in at.reason
    assert "over" in below.reason


def test_the_dense_model_itself_has_a_ratio_of_one() -> None:
    dense = evaluation(random_losses().tolist())
    result = only(judge(dense, dense, GateSpec(max_perplexity_ratio=1.0)))
    assert (result.value, result.bound, result.passed) == (1.0, 1.0, True)


@pytest.mark.parametrize(
    ("cap", "ratio", "passed"), [(23, 1.5, [True, True]), (22, 1.5, [True, False]), (23, 1.05, [False, True])]
)
def test_a_cap_on_perplexity_is_a_criterion_of_its_own(cap: float, ratio: float, passed: list[bool]) -> None:
    # The pruned perplexity is 1.1 * e^3 = 22.09.
    results = judge(DENSE, PRUNED, GateSpec(max_perplexity_ratio=ratio, max_perplexity=cap))
    assert [result.passed for result in results] == passed


def test_without_a_cap_there_is_one_criterion() -> None:
    assert [result.name for result in judge(DENSE, PRUNED, GateSpec())] == ["perplexity_ratio"]


Change = Callable[[PerplexityEvaluation], PerplexityEvaluation]


def first(num_windows: int) -> Change:
    """Keeps the first windows and expects no more."""
    return lambda whole: replace(whole, losses=whole.losses[:num_windows], num_expected=num_windows)


def truncated(whole: PerplexityEvaluation) -> PerplexityEvaluation:
    return replace(whole, losses=whole.losses[:-1])


def longer(whole: PerplexityEvaluation) -> PerplexityEvaluation:
    return replace(whole, num_expected=whole.num_expected - 1)


def with_loss(loss: float | None) -> Change:
    return lambda whole: replace(whole, losses=(*whole.losses[:-1], replace(whole.losses[-1], loss=loss)))


def of_one_document(whole: PerplexityEvaluation) -> PerplexityEvaluation:
    return replace(whole, losses=tuple(replace(item, document="only") for item in whole.losses))


def unusable(dense: PerplexityEvaluation, pruned: PerplexityEvaluation) -> str:
    """The one reason for which every criterion is rejected."""
    results = judge(dense, pruned, BOTH)
    assert [result.name for result in results] == ["perplexity_ratio", "perplexity"]
    for result in results:
        assert (result.value, result.bound, result.passed) == (None, None, False)
    assert results[0].reason == results[1].reason
    return results[0].reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (first(0), "0 windows were evaluated, and a verdict takes at least 30"),
        (first(MIN_WINDOWS - 1), "29 windows were evaluated, and a verdict takes at least 30"),
        (of_one_document, "one document"),
    ],
    ids=["no window", "too few windows", "one document"],
)
def test_windows_that_say_too_little_are_rejected(change: Change, reason: str) -> None:
    assert reason in unusable(change(DENSE), change(PRUNED))


def test_thirty_windows_of_two_documents_are_enough() -> None:
    pruned = evaluation([3.0] * MIN_WINDOWS, num_documents=2)
    assert all(result.passed for result in judge(pruned, pruned, BOTH))


@pytest.mark.parametrize("whose", ["dense", "pruned"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (truncated, "evaluation has 59 of 60 windows"),
        (longer, "evaluation has 60 of 59 windows"),
        (lambda whole: replace(whole, losses=()), "evaluation has 0 of 60 windows"),
        (with_loss(None), "evaluation has losses that are not finite"),
        (with_loss(math.nan), "evaluation has losses that are not finite"),
        (with_loss(math.inf), "evaluation has losses that are not finite"),
        (with_loss(-math.inf), "evaluation has losses that are not finite"),
    ],
    ids=["truncated", "too long", "empty", "None", "NaN", "inf", "-inf"],
)
def test_an_evaluation_that_is_not_whole_is_rejected_whosever_it_is(whose: str, change: Change, reason: str) -> None:
    dense, pruned = (change(DENSE), PRUNED) if whose == "dense" else (DENSE, change(PRUNED))
    assert f"the {whose} {reason}" in unusable(dense, pruned)


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: replace(whole, losses=whole.losses[::-1]),
        lambda whole: replace(whole, windows_sha256="x" * 64),
        lambda whole: replace(whole, losses=tuple(replace(item, document="other") for item in whole.losses)),
        lambda whole: replace(whole, losses=(replace(whole.losses[0], window="other"), *whole.losses[1:])),
        lambda whole: replace(whole, losses=(replace(whole.losses[0], num_predicted=9), *whole.losses[1:])),
        first(40),
    ],
    ids=["another order", "another digest", "other documents", "another window", "another length", "fewer windows"],
)
def test_models_evaluated_on_different_windows_are_rejected(change: Change) -> None:
    assert "same windows" in unusable(DENSE, change(PRUNED))
    assert "same windows" in unusable(change(DENSE), PRUNED)


def test_a_bound_too_large_for_a_number_is_rejected() -> None:
    assert "too large for a number" in unusable(DENSE, evaluation([800.0] * 60))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dense", [3.0, 1e308, -1e308])
@pytest.mark.parametrize("pruned", [1e308, [1e308, -1e308]])
def test_losses_too_large_to_reckon_with_are_never_approved(dense: float, pruned: float | list[float]) -> None:
    losses = pruned * 30 if isinstance(pruned, list) else [pruned] * 60
    results = judge(evaluation([dense] * 60), evaluation(losses), BOTH)
    assert not all(result.passed for result in results)
    assert all(number is None or math.isfinite(number) for result in results for number in (result.value, result.bound))


def test_a_true_ratio_at_the_budget_is_seldom_approved() -> None:
    """2,000 models at the budget: about 5 % approved, though windows of one of 20 documents are alike."""
    num_trials, num_documents, num_windows = 2_000, 20, 3
    rng = np.random.default_rng(0)
    of_document = rng.normal(0.0, 0.10, size=(num_trials, num_documents, 1))
    noise = rng.normal(0.0, 0.05, size=(num_trials, num_documents, num_windows))
    trials = (math.log(1.5) + of_document + noise).reshape(num_trials, -1)
    documents = [str(number // num_windows) for number in range(num_documents * num_windows)]
    bounds = np.array([clustered_upper_bound(trial, documents, 0.95).upper for trial in trials])
    approved = float((bounds <= math.log(1.5)).mean())
    three_errors = 3 * math.sqrt(0.05 * 0.95 / num_trials)
    assert 0.05 - three_errors < approved < 0.05 + three_errors
