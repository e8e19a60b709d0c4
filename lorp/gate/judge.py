"""Evidence + budgets -> a result for each criterion.

A criterion passes when its bound, not its value, is within the budget: the gate errs towards rejecting.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lorp.gate import evidence as measure
from lorp.gate.evidence import Estimated, Evidence
from lorp.gate.verdict import CriterionResult, Side
from lorp.spec import GateSpec


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A kind of budget.

    Attributes:
        name: What is measured.
        field: The budget's field in `GateSpec`.
        needs: Which evaluation it rests on: `perplexity`, `tasks`, `generation`, `speed`.
        estimate: Measures it.
        side: On which side of the budget the bound must lie.
    """

    name: str
    field: str
    needs: str
    estimate: Callable[[Evidence, float], Estimated]
    side: Side = "at most"


CRITERIA = (
    Criterion(
        name="perplexity_ratio", field="max_perplexity_ratio", needs="perplexity", estimate=measure.perplexity_ratio
    ),
    Criterion(name="perplexity", field="max_perplexity", needs="perplexity", estimate=measure.perplexity),
    Criterion(name="accuracy_drop", field="max_accuracy_drop", needs="tasks", estimate=measure.accuracy_drop),
    Criterion(
        name="repetition_increase",
        field="max_repetition_increase",
        needs="generation",
        estimate=measure.repetition_increase,
    ),
    Criterion(
        name="prefill_speedup", field="min_speedup", needs="speed", estimate=measure.prefill_speedup, side="at least"
    ),
    Criterion(
        name="decode_speedup", field="min_speedup", needs="speed", estimate=measure.decode_speedup, side="at least"
    ),
    Criterion(name="memory_ratio", field="max_memory_ratio", needs="speed", estimate=measure.memory_ratio),
)


_TOO_LITTLE = ", and even with no difference it would be {:.4g}: measure on more documents or questions"


def needed(spec: GateSpec) -> frozenset[str]:
    """The evaluations that a gate's budgets rest on."""
    return frozenset(criterion.needs for criterion in CRITERIA if getattr(spec, criterion.field) is not None)


def judge(evidence: Evidence, spec: GateSpec) -> tuple[CriterionResult, ...]:
    """Measures every criterion that the gate has a budget for; what cannot be judged fails."""
    return tuple(
        result(
            criterion.name,
            criterion.estimate(evidence, spec.confidence),
            getattr(spec, criterion.field),
            criterion.side,
        )
        for criterion in CRITERIA
        if getattr(spec, criterion.field) is not None
    )


def result(name: str, estimated: Estimated, budget: float, side: Side = "at most") -> CriterionResult:
    """Holds an estimate against a budget: its bound must keep it; what could not be estimated fails."""
    if isinstance(estimated, str):
        return CriterionResult(
            name=name, value=None, bound=None, budget=budget, side=side, passed=False, reason=estimated
        )
    at_most = side == "at most"
    bound = estimated.upper if at_most else estimated.lower
    passed = bound <= budget if at_most else bound >= budget
    said = "within" if passed else ("over" if at_most else "under")
    return CriterionResult(
        name=name,
        value=estimated.value,
        bound=bound,
        budget=budget,
        side=side,
        passed=passed,
        reason=f"{'upper' if at_most else 'lower'} bound {bound:.4g} is {said} the budget of {budget:g}"
        + (_TOO_LITTLE.format(estimated.narrowest) if at_most and estimated.narrowest > budget else ""),
    )
