"""Perplexity of one model: over predicted tokens, and no number where there is none."""

import math

import pytest

from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss, exp


def evaluation(*losses: tuple[int, float | None]) -> PerplexityEvaluation:
    """An evaluation with so many predicted tokens and this loss for each window."""
    items = [
        WindowLoss(window=f"a@{number}", document="a", num_predicted=num_predicted, loss=loss)
        for number, (num_predicted, loss) in enumerate(losses)
    ]
    return PerplexityEvaluation(
        checkpoint="c" * 64, windows_sha256="w" * 64, num_expected=len(items), losses=tuple(items)
    )


def test_perplexity_is_the_exponential_of_the_mean_loss() -> None:
    assert evaluation((255, math.log(4)), (255, math.log(9))).perplexity == pytest.approx(6)


def test_a_longer_window_counts_for_its_tokens() -> None:
    # (1 * ln 16 + 3 * ln 2 + 0 * 99) / 4 = (4 ln 2 + 3 ln 2) / 4
    assert evaluation((1, math.log(16)), (3, math.log(2)), (0, 99.0)).perplexity == pytest.approx(2 ** (7 / 4))


@pytest.mark.parametrize(
    "losses",
    [[], [(0, 1.0)], [(255, None)], [(255, 3.0), (255, None)], [(255, 3.0), (0, None)]],
    ids=["no window", "no token", "the only loss is missing", "one loss is missing", "the loss of no token is missing"],
)
def test_without_all_losses_there_is_no_perplexity(losses: list[tuple[int, float | None]]) -> None:
    assert math.isnan(evaluation(*losses).perplexity)


def test_a_loss_of_zero_is_no_missing_loss() -> None:
    assert evaluation((255, 0.0), (255, 0.0)).perplexity == 1.0


def test_a_perplexity_too_large_for_a_number_is_infinite() -> None:
    assert evaluation((255, 800.0)).perplexity == math.inf


@pytest.mark.parametrize(
    ("log", "expected"),
    [(0.0, 1.0), (1.0, math.e), (709.7, math.exp(709.7)), (709.8, math.inf), (1e308, math.inf), (math.inf, math.inf)],
)
def test_exp_overflows_to_infinity(log: float, expected: float) -> None:
    assert exp(log) == expected


def test_exp_of_what_is_far_below_zero_is_zero() -> None:
    assert exp(-1e308) == exp(-math.inf) == 0.0


def test_exp_of_no_number_is_no_number() -> None:
    assert math.isnan(exp(math.nan))
