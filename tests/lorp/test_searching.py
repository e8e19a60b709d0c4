"""Selectors that ask what plans cost, on costs that are made up, so that the best plan is known."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import pytest

from lorp.clustering import Clustering
from lorp.errors import CountError, SpecError
from lorp.selection import Grounds, make_plan
from lorp.selection.greedy import deepest_within, removals
from lorp.selection.local import refined
from lorp.spec import PruningSpec

N = 10
ALIKE = np.ones((N, N))
ONE_CLUSTER = Clustering(kind="spectral", labels=(0,) * N)


@dataclass
class Costs:
    """Trials whose costs are a function of the plan; what was asked, in order."""

    of: Callable[[tuple[int, ...], bool], float]
    asked: list[tuple[tuple[int, ...], bool]] = field(default_factory=list)

    def losses(self, removed: Collection[int], mended: bool) -> tuple[float, ...]:
        plan = tuple(sorted(removed))
        self.asked.append((plan, mended))
        return (self.of(plan, mended) - 1, self.of(plan, mended) + 1)

    def settle(self, removed: Collection[int], mended: bool) -> None:
        pass


def additive(removed: tuple[int, ...], _mended: bool) -> float:
    return 3.0 + sum({7: 0.1, 2: 0.2, 5: 0.3}.get(block, 0.5 + block / 100) for block in removed)


def trap(removed: tuple[int, ...], _mended: bool) -> float:
    """Block 7 is the cheapest alone, and in the best pair neither block is."""
    return {(7,): 3.1, (3,): 3.2, (4,): 3.3, (3, 4): 3.05}.get(removed, 3.5 + len(removed) / 10 + sum(removed) / 1000)


def grounds(of: Callable[[tuple[int, ...], bool], float], **more: object) -> Grounds:
    return Grounds(similarity=ALIKE, clustering=ONE_CLUSTER, trials=Costs(of), **more)


def plan(basis: Grounds, method: str, count: int) -> tuple[int, ...]:
    return make_plan(basis, count, PruningSpec(method=method)).removed


def test_greedy_takes_the_cheapest_block_in_each_round_and_never_the_ends() -> None:
    basis = grounds(additive)
    steps = removals(basis, 3, mended=False)
    assert [step.block for step in steps] == [7, 2, 5]
    assert [step.score for step in steps] == pytest.approx([3.1, 3.3, 3.6])
    assert plan(basis, "greedy", 3) == (2, 5, 7)
    asked = {block for blocks, mended in basis.trials.asked for block in blocks if not mended}
    assert asked == set(range(1, N - 1))
    assert {step.block for step in removals(basis, N - 2, mended=False)} == set(range(1, N - 1))


def test_equal_costs_go_to_the_shallower_block() -> None:
    assert plan(grounds(lambda removed, _: float(len(removed))), "greedy", 3) == (1, 2, 3)


def test_a_plan_that_breaks_the_model_is_never_the_cheapest() -> None:
    assert plan(grounds(lambda removed, _: math.inf if 1 in removed else sum(removed)), "greedy", 2) == (2, 3)


def test_depth_is_guessed_from_the_dense_models_loss() -> None:
    assert deepest_within(grounds(additive), math.exp(0.35)) == 2
    assert deepest_within(grounds(additive), 1.0) == 1
    assert deepest_within(grounds(additive), 1e9) == N - 2
    assert deepest_within(grounds(additive), 1e9, max_perplexity=math.exp(3.15)) == 1


def test_local_search_leaves_a_trap_that_greedy_goes_into() -> None:
    basis = grounds(trap, max_swaps=50)
    assert plan(grounds(trap), "greedy", 2) != (3, 4)
    assert refined(basis, (3, 7)) == ((3, 4), pytest.approx(3.05))
    assert refined(grounds(trap, max_swaps=50, seed=3), (1, 8))[0] == (3, 4)


def test_local_search_tries_no_more_than_it_may_and_nothing_twice() -> None:
    basis = grounds(trap, max_swaps=5)
    refined(basis, (1, 8))
    pairs = [blocks for blocks, _ in basis.trials.asked if len(blocks) == 2]
    assert len(pairs) == len(set(pairs)) == 1 + 5
    unmoved = grounds(trap, max_swaps=0)
    assert refined(unmoved, (1, 8))[0] == (1, 8)


def test_the_seed_decides_what_is_drawn_and_nothing_else() -> None:
    def asked(seed: int) -> list[object]:
        basis = grounds(lambda removed, _: float(-sum(removed) == -5) + 3, max_swaps=60, seed=seed)
        refined(basis, (2, 3, 4))
        return basis.trials.asked

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)
    singles = 8 + 1 + 3 * 5
    assert asked(1)[:singles] == asked(2)[:singles]


def test_of_several_selectors_the_plan_that_costs_least_is_taken() -> None:
    basis = grounds(additive)
    chosen = make_plan(basis, 2, PruningSpec(method="streamline,greedy"))
    assert (chosen.method, chosen.removed) == ("greedy", (2, 7))
    assert [(entry.method, entry.removed) for entry in chosen.proposals] == [("greedy", (2, 7)), ("streamline", (1, 2))]
    assert chosen.proposals[0].loss == pytest.approx(3.3)


def test_a_selector_that_cannot_meet_the_count_is_passed_over_unless_all_are() -> None:
    alone = Clustering(kind="spectral", labels=tuple(range(N)))
    basis = Grounds(similarity=ALIKE, clustering=alone, trials=Costs(additive))
    spec = PruningSpec(method="lorp,greedy", criterion="residual-variance")
    assert make_plan(basis, 8, spec).method == "greedy"
    with pytest.raises(CountError):
        make_plan(basis, 8, PruningSpec(method="lorp", criterion="residual-variance"))


def test_auto_betters_the_best_proposal_and_says_what_it_was_compared_with() -> None:
    basis = grounds(trap, max_swaps=50)
    chosen = make_plan(basis, 2, PruningSpec(method="auto"))
    assert (chosen.method, chosen.removed) == ("auto", (3, 4))
    methods = [entry.method for entry in chosen.proposals]
    assert methods[0] == "auto"
    assert set(methods) == {"auto", "lorp", "shortgpt", "streamline", "greedy"}
    assert [entry.confirmed_loss is not None for entry in chosen.proposals].count(True) >= 2


def test_what_does_not_hold_up_on_other_windows_is_not_taken() -> None:
    confirming = Costs(lambda removed, mended: 9.0 if removed == (3, 4) else trap(removed, mended))
    basis = grounds(trap, max_swaps=50, confirming=confirming)
    chosen = make_plan(basis, 2, PruningSpec(method="auto"))
    assert chosen.removed != (3, 4)
    assert len(confirming.asked) == 3


def test_mended_plans_are_compared_as_mended_and_plain_ones_as_they_are() -> None:
    def helped(removed: tuple[int, ...], mended: bool) -> float:
        return 3.0 if mended and removed == (2, 5) else additive(removed, mended)

    assert make_plan(grounds(helped, max_swaps=80), 2, PruningSpec(method="auto")).removed == (2, 7)
    assert make_plan(grounds(helped, max_swaps=80, mended=True), 2, PruningSpec(method="auto")).removed == (2, 5)


def test_without_a_model_there_is_nothing_to_ask() -> None:
    for method in ("greedy", "auto", "lorp,shortgpt"):
        with pytest.raises(SpecError, match="needs the model itself"):
            make_plan(Grounds(similarity=ALIKE, clustering=ONE_CLUSTER), 2, PruningSpec(method=method))
