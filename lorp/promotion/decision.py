"""What is known of a version, held against a policy: a result for each condition."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lorp.gate import CriterionResult, Verdict, result
from lorp.gate.evidence import Estimated
from lorp.gate.strictness import looser
from lorp.promotion.policy import PromotionPolicy
from lorp.spec import GateSpec


@dataclass(frozen=True, kw_only=True)
class CanaryAnswer:
    """How a version went on from a canary's prompt, and whether that is as the policy says."""

    prompt: str
    text: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a version that is to be promoted.

    Attributes:
        verdict: The verdict that made it a version.
        gate: Its budgets.
        fault: What does not verify of all that the version rests on; None if everything does.
        age_days: Since the older of the verdict's two evaluations of perplexity.
        ratio_to_production: Its perplexity / that of the version in production; None if there is none.
        answers: To the canaries.
    """

    verdict: Verdict
    gate: GateSpec
    fault: str | None
    age_days: float
    ratio_to_production: Estimated | None
    answers: tuple[CanaryAnswer, ...]


@dataclass(frozen=True, kw_only=True)
class Approval:
    """What a person said.

    Attributes:
        given: Whether they agreed.
        by: Who they say they are: nothing here proves it.
        note: Why, in their words.
    """

    given: bool
    by: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether an alias may be moved to a version, and on what that rests.

    Attributes:
        name: The registered model.
        alias: What is to be moved.
        version: To which version.
        verdict: Id of the verdict that it rests on.
        production: The version that the alias stood for when it was decided; None for none.
        policy: The policy, as JSON.
        conditions: A result for each.
        answers: To the canaries.
        approval: What a person said, where the policy asks for that and the conditions were met.
    """

    name: str
    alias: str
    version: int
    verdict: str
    production: int | None
    policy: dict[str, Any]
    conditions: tuple[CriterionResult, ...]
    answers: tuple[CanaryAnswer, ...] = ()
    approval: Approval | None = None

    @property
    def met(self) -> bool:
        """Whether all conditions are."""
        return all(condition.passed for condition in self.conditions)

    @property
    def allowed(self) -> bool:
        """Whether the alias may be moved."""
        asked = bool(self.policy.get("approval"))
        return self.met and (not asked or (self.approval is not None and self.approval.given))

    @property
    def consistent(self) -> bool:
        """Whether each condition says what follows from its bound, and those that every policy has are among them."""
        names = {condition.name for condition in self.conditions}
        return {"approved", "verified"} <= names and all(map(_follows, self.conditions))


def _follows(condition: CriterionResult) -> bool:
    bound, budget = condition.bound, condition.budget
    if bound is None:
        return not condition.passed
    return condition.passed == (bound <= budget if condition.side == "at most" else bound >= budget)


def weigh(policy: PromotionPolicy, known: Known) -> tuple[CriterionResult, ...]:
    """Looks at every condition of a policy; what cannot be known fails."""
    return tuple(_conditions(policy, known))


def _conditions(policy: PromotionPolicy, known: Known) -> Iterator[CriterionResult]:
    yield _holds("approved", known.verdict.approved, "the verdict approved it", "the verdict rejected it")
    yield _holds("verified", known.fault is None, "every byte is what its digest says", known.fault or "")
    if policy.gate is not None:
        found = looser(known.gate, policy.gate)
        yield _holds(
            "gate",
            not found,
            "the verdict's budgets are as strict as the policy's",
            f"looser than the policy's, or not there: {', '.join(found)}; recompress under its budgets",
        )
    if policy.max_age_days is not None:
        yield _at_most("age_days", known.age_days, policy.max_age_days, "days since it was evaluated")
    if policy.max_ratio_to_production is not None and known.ratio_to_production is not None:
        yield result("ratio_to_production", known.ratio_to_production, policy.max_ratio_to_production)
    if policy.canaries:
        failed = sum(not answer.passed for answer in known.answers) + len(policy.canaries) - len(known.answers)
        yield _at_most("failed_canaries", failed, policy.max_failed_canaries, f"of {len(policy.canaries)} failed")


def _holds(name: str, passed: bool, why: str, why_not: str) -> CriterionResult:
    value, reason = float(passed), why if passed else why_not
    return CriterionResult(
        name=name, value=value, bound=value, budget=1.0, side="at least", passed=passed, reason=reason
    )


def _at_most(name: str, value: float, budget: float, what: str) -> CriterionResult:
    return CriterionResult(
        name=name, value=value, bound=value, budget=budget, passed=value <= budget, reason=f"{value:.4g} {what}"
    )
