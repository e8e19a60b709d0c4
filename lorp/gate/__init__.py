"""Evaluations of dense and pruned + budgets -> verdict."""

from lorp.gate.evidence import MIN_ITEMS, MIN_PROMPTS, MIN_WINDOWS, Evidence, Measured, min_rounds
from lorp.gate.judge import judge, needed, result
from lorp.gate.verdict import CriterionResult, Verdict

__all__ = [
    "MIN_ITEMS",
    "MIN_PROMPTS",
    "MIN_WINDOWS",
    "CriterionResult",
    "Evidence",
    "Measured",
    "Verdict",
    "judge",
    "min_rounds",
    "needed",
    "result",
]
