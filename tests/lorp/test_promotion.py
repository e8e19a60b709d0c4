"""A policy's conditions, one by one: what keeps each, and what does not."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from lorp.gate import CriterionResult, Verdict
from lorp.gate.strictness import as_strict, looser
from lorp.promotion import Approval, Canary, CanaryAnswer, Decision, Known, PromotionPolicy, weigh
from lorp.spec import GateSpec
from lorp.statistics import Estimate

VERDICT = Verdict(variant="v" * 64, evaluation="e" * 64, gate="g" * 64, approved=True, criteria=())
KNOWN = Known(
    verdict=VERDICT,
    gate=GateSpec(max_perplexity_ratio=1.3),
    fault=None,
    age_days=1.0,
    ratio_to_production=Estimate(value=1.0, lower=0.98, upper=1.01),
    answers=(CanaryAnswer(prompt="a", text="b", passed=True),),
)
POLICY = PromotionPolicy(
    gate=GateSpec(max_perplexity_ratio=1.5),
    max_ratio_to_production=1.02,
    max_age_days=30,
    canaries=(Canary(prompt="a", contains=("b",)),),
)


def failed(policy: PromotionPolicy, known: Known) -> list[str]:
    return [condition.name for condition in weigh(policy, known) if not condition.passed]


def test_all_conditions_are_looked_at() -> None:
    names = [condition.name for condition in weigh(POLICY, KNOWN)]
    assert names == ["approved", "verified", "gate", "age_days", "ratio_to_production", "failed_canaries"]
    assert failed(POLICY, KNOWN) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"verdict": replace(VERDICT, approved=False)}, "approved"),
        ({"fault": "the result of x is gone"}, "verified"),
        ({"gate": GateSpec(max_perplexity_ratio=1.6)}, "gate"),
        ({"age_days": 30.1}, "age_days"),
        ({"ratio_to_production": Estimate(value=1.0, lower=0.9, upper=1.03)}, "ratio_to_production"),
        ({"ratio_to_production": "not on the same windows"}, "ratio_to_production"),
        ({"answers": (CanaryAnswer(prompt="a", text="", passed=False),)}, "failed_canaries"),
        ({"answers": ()}, "failed_canaries"),
    ],
)
def test_each_condition_fails_by_itself(change: dict[str, object], name: str) -> None:
    assert failed(POLICY, replace(KNOWN, **change)) == [name]  # type: ignore[arg-type]


def test_what_is_not_asked_is_not_looked_at() -> None:
    policy = PromotionPolicy(max_ratio_to_production=None, max_age_days=None)
    old = replace(KNOWN, age_days=1e6, ratio_to_production="no", answers=())
    assert [condition.name for condition in weigh(policy, old)] == ["approved", "verified"]
    first = replace(KNOWN, ratio_to_production=None)
    assert failed(POLICY, first) == []


@pytest.mark.parametrize(
    ("canary", "text", "passes"),
    [
        (Canary(prompt="p", contains=("Paris", "the capital")), "it is PARIS.", True),
        (Canary(prompt="p", contains=("Paris",)), "it is Rome", False),
        (Canary(prompt="p", excludes=("Rome",)), "it is Paris", True),
        (Canary(prompt="p", excludes=("Rome",)), "it is rome", False),
        (Canary(prompt="p", contains=("Paris",), excludes=("Rome",)), "Paris or Rome", False),
        (Canary(prompt="p", excludes=("Rome",)), " \n", False),
    ],
)
def test_a_canary_looks_for_texts(canary: Canary, text: str, passes: bool) -> None:
    assert canary.passes(text) is passes


def test_a_canary_that_asks_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="contains or excludes"):
        Canary(prompt="p")


@pytest.mark.parametrize(
    ("approval", "allowed"),
    [(None, False), (Approval(given=False, by="ada"), False), (Approval(given=True, by="ada"), True)],
)
def test_where_a_person_is_asked_only_their_yes_will_do(approval: Approval | None, allowed: bool) -> None:
    decision = Decision(
        name="m",
        alias="production",
        version=1,
        verdict="d" * 64,
        production=None,
        policy={"approval": True},
        conditions=weigh(POLICY, KNOWN),
        approval=approval,
    )
    assert decision.allowed is allowed
    assert replace(decision, policy={"approval": False}).allowed
    unmet = CriterionResult(name="age_days", value=40.0, bound=40.0, budget=30.0, passed=False, reason="old")
    assert not replace(decision, conditions=(unmet,)).allowed


def test_a_gate_is_as_strict_as_another_if_no_budget_is_looser() -> None:
    strict = GateSpec(max_perplexity_ratio=1.2, min_speedup=1.1, max_accuracy_drop=0.02)
    assert as_strict(strict, GateSpec(max_perplexity_ratio=1.5, min_speedup=1.0))
    assert as_strict(strict, strict)
    assert not as_strict(GateSpec(max_perplexity_ratio=1.1), strict)
    assert looser(strict, GateSpec(max_accuracy_drop=0.02)) == []
    assert looser(GateSpec(max_perplexity_ratio=9.0), GateSpec(max_accuracy_drop=0.02)) == ["max_accuracy_drop"]
    assert looser(strict, GateSpec(max_accuracy_drop=0.01, min_speedup=1.2)) == ["max_accuracy_drop", "min_speedup"]
    assert not as_strict(strict, GateSpec(max_perplexity_ratio=1.5, min_speedup=1.2))
