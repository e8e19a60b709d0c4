"""What the gate said."""

from dataclasses import dataclass
from typing import Literal

from lorp.digest import digest_value

#: Which side of its budget a bound must lie on.
Side = Literal["at most", "at least"]


@dataclass(frozen=True, kw_only=True)
class CriterionResult:
    """One criterion of a verdict.

    Attributes:
        name: What was measured.
        value: The estimate; None if there is none.
        bound: Its confidence bound on the side that matters: upper for `at most`, lower for `at least`; None if there
            is none.
        budget: What the bound is held against.
        side: On which side of the budget it must lie; the budget itself is within.
        passed: Whether it does.
        reason: Why, for people.
    """

    name: str
    value: float | None
    bound: float | None
    budget: float
    side: Side = "at most"
    passed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate said, of which variant, on which evaluations, under which budgets.

    Attributes:
        variant: Digest of the pruned checkpoint.
        evaluation: Digest over the evaluations that were judged.
        gate: Digest of the gate's budgets.
        approved: Whether every criterion passed.
        criteria: All of them.
    """

    variant: str
    evaluation: str
    gate: str
    approved: bool
    criteria: tuple[CriterionResult, ...]

    @property
    def id(self) -> str:
        """What identifies a verdict: digest of (variant, evaluation, gate)."""
        return digest_value([self.variant, self.evaluation, self.gate])
