"""How sure a plan is, on captures and trials whose answer is known."""

import numpy as np
import pytest

from lorp.errors import CountError
from lorp.parquet import WindowSums
from lorp.similarity import Matrix
from lorp.stability import stability_of_capture, stability_of_trials

TOKENS = 10


def shard(cosines: np.ndarray, documents: list[str]) -> WindowSums:
    """Windows whose mean cosines are given, W x L x L."""
    return WindowSums(
        ids=tuple(f"{number}" for number in range(len(documents))), documents=tuple(documents),
        num_tokens=np.full(len(documents), TOKENS), cosine_sums_WLL=cosines * TOKENS,
    )  # fmt: skip


def most_alike(similarity: Matrix) -> list[int]:
    return [max(range(1, len(similarity) - 1), key=lambda block: similarity[block, block + 1])]


def windows(votes: list[int]) -> np.ndarray:
    """A window each, in which this block of 5 changes its input least."""
    made = np.full((len(votes), 6, 6), 0.5) + 0.5 * np.eye(6)
    for window, block in enumerate(votes):
        made[window, block, block + 1] = made[window, block + 1, block] = 0.9
    return made


def test_a_plan_that_all_documents_agree_on_is_sure() -> None:
    shards = [shard(windows([2, 2]), ["a", "b"]), shard(windows([2]), ["c"])]
    stability = stability_of_capture(shards, most_alike, seed=0)
    assert stability.shares == (0.0, 0.0, 1.0, 0.0, 0.0)
    assert (stability.over, stability.num_resamples) == ("capture", 200)


def test_documents_that_disagree_share_the_resamples() -> None:
    votes, documents = [1] * 8 + [3] * 6, [f"{number}" for number in range(14)]
    shares = stability_of_capture([shard(windows(votes), documents)], most_alike, seed=0).shares
    assert 0.55 < shares[1] < 0.9
    assert sum(shares) == pytest.approx(1)
    assert shares == stability_of_capture([shard(windows(votes), documents)], most_alike, seed=0).shares
    assert shares != stability_of_capture([shard(windows(votes), documents)], most_alike, seed=1).shares


def test_windows_of_one_document_are_drawn_together() -> None:
    alone = stability_of_capture([shard(windows([1] * 8 + [3] * 7), list("abcdefghijklmno"))], most_alike, seed=0)
    together = stability_of_capture([shard(windows([1] * 8 + [3] * 7), ["a"] * 8 + ["b"] * 7)], most_alike, seed=0)
    assert together.shares[1] == pytest.approx(0.75, abs=0.08)  # b is drawn twice in a quarter of the resamples
    assert alone.shares[1] < together.shares[1]


def test_resamples_without_a_plan_do_not_count() -> None:
    def refusing(similarity: Matrix) -> list[int]:
        if most_alike(similarity) == [3]:
            raise CountError("no", "no")
        return most_alike(similarity)

    stability = stability_of_capture([shard(windows([1, 1, 3, 3, 1]), list("abcde"))], refusing, seed=0)
    assert stability.shares[1] == 1.0
    assert 0 < stability.num_resamples < 200


def test_of_trials_the_plan_that_would_have_cost_least_counts() -> None:
    losses = {(1, 2): [1.0, 1.0, 5.0, 1.0], (1, 3): [2.0, 2.0, 1.0, 2.0], (2, 3): [9.0, 9.0, 9.0, np.inf]}
    shares = stability_of_trials(losses, list("abcd"), num_blocks=5, seed=0).shares
    assert shares[0] == shares[4] == 0.0
    assert shares[1] == 1.0
    assert shares[2] + shares[3] == pytest.approx(1)
    assert 0.2 < shares[2] < 0.8
