"""The gate: bounds that hold for dependent windows, budgets kept to the letter, and no verdict on what is unusable."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from lorp.evaluation.downstream.results import DownstreamEvaluation, ItemResult
from lorp.evaluation.generation import Continuation, GenerationEvaluation
from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.evaluation.speed import Memory, Round, SpeedComparison, Timing
from lorp.gate import MIN_WINDOWS, CriterionResult, Evidence, Measured, judge, needed
from lorp.spec import GateSpec
from lorp.statistics import clustered_mean

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


def judged(dense: PerplexityEvaluation, pruned: PerplexityEvaluation, spec: GateSpec) -> tuple[CriterionResult, ...]:
    return judge(Evidence(dense=Measured(perplexity=dense), pruned=Measured(perplexity=pruned)), spec)


def test_windows_count_for_their_tokens_as_in_the_perplexities_themselves() -> None:
    """Pairs: the loss of a short text rises, and that of a long one hardly."""

    def of_pairs(short: float, long: float) -> PerplexityEvaluation:
        whole = evaluation([short, long] * 30, num_documents=60)
        tokens = [10, 90] * 30
        items = [replace(item, num_predicted=n) for item, n in zip(whole.losses, tokens, strict=True)]
        return replace(whole, losses=tuple(items))

    dense, pruned = of_pairs(3.0, 2.0), of_pairs(4.0, 2.1)
    found = {item.name: item.value for item in judged(dense, pruned, BOTH)}
    assert pruned.perplexity == pytest.approx(math.exp(2.29))
    assert found["perplexity_ratio"] == pytest.approx(pruned.perplexity / dense.perplexity)
    assert found["perplexity"] == pytest.approx(pruned.perplexity)


def only(results: tuple[CriterionResult, ...]) -> CriterionResult:
    (result,) = results
    return result


def test_what_is_within_every_budget_is_approved() -> None:
    results = judged(DENSE, PRUNED, BOTH)
    assert [result.name for result in results] == ["perplexity_ratio", "perplexity"]
    assert [result.budget for result in results] == [1.5, 100.0]
    assert all(result.passed for result in results)
    assert [result.value for result in results] == pytest.approx([1.1, 1.1 * math.exp(3)])


def test_value_and_bound_are_those_of_paired_windows() -> None:
    dense, shift = random_losses(1), random_losses(2) / 10
    documents = [str(number % 10) for number in range(60)]
    ratio, absolute = judged(evaluation(dense.tolist()), evaluation((dense + shift).tolist()), BOTH)
    for result, values in ((ratio, shift), (absolute, dense + shift)):
        expected = clustered_mean(values, documents, 0.95)
        assert result.value == pytest.approx(math.exp(expected.value))
        assert result.bound == pytest.approx(math.exp(expected.upper))
    assert ratio.value == pytest.approx(
        evaluation((dense + shift).tolist()).perplexity / evaluation(dense.tolist()).perplexity
    )


def test_the_gate_goes_by_the_bound_and_not_by_the_value() -> None:
    shift = math.log(1.4) + np.random.default_rng(0).normal(0.0, 0.5, size=60)
    result = only(judged(DENSE, evaluation((3.0 + shift).tolist()), GateSpec(max_perplexity_ratio=1.5)))
    assert result.value is not None
    assert result.bound is not None
    assert result.value < 1.5 < result.bound
    assert not result.passed


def test_more_confidence_gives_a_higher_bound() -> None:
    pruned = evaluation(random_losses().tolist())
    bounds = [only(judged(DENSE, pruned, GateSpec(confidence=confidence))).bound for confidence in (0.6, 0.9, 0.99)]
    assert bounds == sorted(bounds, key=lambda bound: bound or 0.0)
    assert len(set(bounds)) == 3


def test_a_bound_at_the_budget_passes_and_one_above_it_does_not() -> None:
    pruned = evaluation((np.array([3.0] * 60) + random_losses() / 10).tolist())
    bound = only(judged(DENSE, pruned, GateSpec())).bound
    assert bound is not None
    at, below = (
        only(judged(DENSE, pruned, GateSpec(max_perplexity_ratio=budget))) for budget in (bound, np.nextafter(bound, 0))
    )
    assert (at.passed, below.passed) == (True, False)
    assert "within" in at.reason
    assert "over" in below.reason


def test_the_dense_model_itself_has_a_ratio_of_one() -> None:
    dense = evaluation(random_losses().tolist())
    result = only(judged(dense, dense, GateSpec(max_perplexity_ratio=1.0)))
    assert (result.value, result.bound, result.passed) == (1.0, 1.0, True)


@pytest.mark.parametrize(
    ("cap", "ratio", "passed"), [(23, 1.5, [True, True]), (22, 1.5, [True, False]), (23, 1.05, [False, True])]
)
def test_a_cap_on_perplexity_is_a_criterion_of_its_own(cap: float, ratio: float, passed: list[bool]) -> None:
    # The pruned perplexity is 1.1 * e^3 = 22.09.
    results = judged(DENSE, PRUNED, GateSpec(max_perplexity_ratio=ratio, max_perplexity=cap))
    assert [result.passed for result in results] == passed


def test_without_a_cap_there_is_one_criterion() -> None:
    assert [result.name for result in judged(DENSE, PRUNED, GateSpec())] == ["perplexity_ratio"]


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
    results = judged(dense, pruned, BOTH)
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
    assert all(result.passed for result in judged(pruned, pruned, BOTH))


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
    results = judged(evaluation([dense] * 60), evaluation(losses), BOTH)
    assert not all(result.passed for result in results)
    assert all(number is None or math.isfinite(number) for result in results for number in (result.value, result.bound))


def continuations(rates: Sequence[int], *, expected: int | None = None) -> GenerationEvaluation:
    """Continuations of 20 tokens, of which so many at the end repeat the same."""
    items = tuple(
        Continuation(
            prompt=f"{number % 10}@{number}",
            document=str(number % 10),
            prompt_text="",
            tokens=(*range(20 - rate), *[0] * rate),
            text="text",
            ended=True,
        )
        for number, rate in enumerate(rates)
    )
    return GenerationEvaluation(
        checkpoint="c" * 64, windows_sha256="w" * 64, num_expected=expected or len(items), continuations=items
    )


def answers(right: Sequence[bool], *, tasks: int = 1, expected: int | None = None) -> DownstreamEvaluation:
    """Two choices an item, of which the first is right; items are dealt out to tasks in turn."""
    items = tuple(
        ItemResult(
            task=f"t{number % tasks}",
            item=str(number),
            cluster=str(number),
            metric="acc",
            label=0,
            lengths=(1, 1),
            loglikelihoods=(-1.0, -2.0) if correct else (-2.0, -1.0),
        )
        for number, correct in enumerate(right)
    )
    return DownstreamEvaluation(
        checkpoint="c" * 64, tasks_sha256="q" * 64, num_expected=expected or len(items), items=items
    )


def rounds(*ratios: float) -> SpeedComparison:
    timed = tuple(
        Round(dense=Timing(prefill=ratio, decode=ratio + 1), pruned=Timing(prefill=1.0, decode=1.0)) for ratio in ratios
    )
    return SpeedComparison(
        dense="d", pruned="p", processor="cpu", dtype="float32", threads=1, prefill_tokens=10, decode_tokens=6,
        rounds=timed, dense_memory=Memory(weights=1000, kv_token=0, peak=0),
        pruned_memory=Memory(weights=900, kv_token=0, peak=0),
    )  # fmt: skip


def evidence(
    dense: GenerationEvaluation | None = None,
    pruned: GenerationEvaluation | None = None,
    speed: SpeedComparison | None = None,
    tasks: tuple[DownstreamEvaluation | None, DownstreamEvaluation | None] = (None, None),
) -> Evidence:
    return Evidence(
        dense=Measured(perplexity=DENSE, generation=dense, tasks=tasks[0]),
        pruned=Measured(perplexity=PRUNED, generation=pruned, tasks=tasks[1]),
        speed=speed,
    )


ACCURACY = GateSpec(max_accuracy_drop=0.1)
REPETITION = GateSpec(max_repetition_increase=0.4)
SPEED = GateSpec(min_speedup=1.1, max_memory_ratio=0.9)


def last(found: Evidence, spec: GateSpec) -> CriterionResult:
    return judge(found, spec)[-1]


def test_a_variant_that_repeats_itself_is_rejected_and_one_that_does_not_is_not() -> None:
    sane, looping = continuations([0] * 40), continuations([15] * 40)
    assert last(evidence(sane, sane), REPETITION).passed
    result = last(evidence(sane, looping), REPETITION)
    assert not result.passed
    assert result.name == "repetition_increase"
    assert "over the budget of 0.4" in result.reason
    assert last(evidence(looping, looping), REPETITION).passed


@pytest.mark.parametrize(
    ("dense", "pruned", "reason"),
    [
        (None, None, "nothing was generated"),
        (continuations([0] * 40), continuations([0] * 39), "same prompts"),
        (continuations([0] * 40), continuations([0] * 39, expected=40), "continued 39 of 40 prompts"),
        (continuations([0] * 29), continuations([0] * 29), "29 prompts were continued"),
        (continuations([0] * 40), replace(continuations([0] * 40), windows_sha256="x"), "same prompts"),
    ],
    ids=["none", "fewer", "not whole", "too few", "other windows"],
)
def test_continuations_that_cannot_be_judged_are_rejected(
    dense: GenerationEvaluation | None, pruned: GenerationEvaluation | None, reason: str
) -> None:
    result = last(evidence(dense, pruned), REPETITION)
    assert not result.passed
    assert reason in result.reason


def test_accuracy_is_compared_item_by_item() -> None:
    sane, worse = answers([True] * 50 + [False] * 50), answers([True] * 44 + [False] * 56)
    swapped = answers([False] * 50 + [True] * 50)
    kept, dropped, noisy = (last(evidence(tasks=(sane, other)), ACCURACY) for other in (sane, worse, swapped))
    assert (kept.name, kept.value, kept.passed) == ("accuracy_drop", 0.0, True)
    # Equal accuracies that rest on other items say little.
    assert dropped.value == pytest.approx(6 / 100)
    assert not dropped.passed
    assert noisy.value == 0.0
    assert noisy.bound is not None
    assert kept.bound is not None
    assert noisy.bound > 5 * kept.bound


def test_a_budget_that_nothing_could_keep_is_said_to_be_one() -> None:
    same = answers([True] * 40)
    result = last(evidence(tasks=(same, same)), GateSpec(max_accuracy_drop=0.01))
    assert not result.passed
    assert "even with no difference it would be 0.08" in result.reason


def test_every_task_weighs_the_same() -> None:
    # 90 items of a task that lost nothing, and 10 of one that lost everything.
    one = answers([True] * 100)
    of_tasks = [replace(item, task="small" if int(item.item) >= 90 else "large") for item in one.items]
    dense = replace(one, items=tuple(of_tasks))
    lost = [replace(item, loglikelihoods=(-2.0, -1.0)) if item.task == "small" else item for item in of_tasks]
    result = last(evidence(tasks=(dense, replace(dense, items=tuple(lost)))), ACCURACY)
    assert result.value == pytest.approx((1 + 0) / 2)


@pytest.mark.parametrize(
    ("dense", "pruned", "reason"),
    [
        (None, None, "no task was measured"),
        (answers([True] * 29), answers([True] * 29), "29 questions were answered"),
        (answers([True] * 40), answers([True] * 39, expected=40), "answered 39 of 40 questions"),
        (answers([True] * 40), answers([True] * 40, tasks=2), "same questions"),
        (answers([True] * 40), replace(answers([True] * 40), tasks_sha256="x"), "same questions"),
        (
            answers([True] * 40),
            replace(
                answers([True] * 40),
                items=tuple(replace(item, loglikelihoods=(None, -1.0)) for item in answers([True] * 40).items),
            ),
            "the pruned model gave answers that are not finite",
        ),
    ],
    ids=["none", "too few", "not whole", "other tasks", "other questions", "not finite"],
)
def test_answers_that_cannot_be_judged_are_rejected(
    dense: DownstreamEvaluation | None, pruned: DownstreamEvaluation | None, reason: str
) -> None:
    result = last(evidence(tasks=(dense, pruned)), ACCURACY)
    assert not result.passed
    assert reason in result.reason


def test_a_speedup_passes_by_its_lower_bound_at_the_budget() -> None:
    # Of 11 rounds the third smallest is the lower bound of the median.
    _, prefill, decode, memory = judge(evidence(speed=rounds(0.5, 0.6, 1.1, *[1.3] * 8)), SPEED)
    assert (prefill.name, prefill.side, prefill.value, prefill.bound) == ("prefill_speedup", "at least", 1.3, 1.1)
    assert (prefill.passed, decode.passed, memory.passed) == (True, True, True)
    assert (decode.bound, memory.bound) == (2.1, 0.9)
    _, slow, *_ = judge(evidence(speed=rounds(0.5, 0.6, 1.09, *[1.3] * 8)), SPEED)
    assert not slow.passed
    assert slow.reason == "lower bound 1.09 is under the budget of 1.1"


@pytest.mark.parametrize(("speed", "reason"), [(None, "nothing was timed"), (rounds(2.0, 2.0), "2 rounds were timed")])
def test_speed_that_was_not_measured_is_rejected(speed: SpeedComparison | None, reason: str) -> None:
    result = judge(evidence(speed=speed), GateSpec(min_speedup=1.0))[-1]
    assert not result.passed
    assert reason in result.reason


def test_a_gate_needs_what_its_budgets_rest_on() -> None:
    assert needed(GateSpec()) == {"perplexity"}
    assert needed(ACCURACY) == {"perplexity", "tasks"}
    assert needed(REPETITION) == {"perplexity", "generation"}
    assert needed(SPEED) == {"perplexity", "speed"}
