"""Evaluations of dense and pruned + budgets -> verdict.

A criterion passes when its bound, not its value, is within the budget: the gate errs towards rejecting. Bounds are
one-sided upper confidence bounds by Student's t, with windows clustered by document.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lorp.digest import digest_value
from lorp.evaluation.perplexity import PerplexityEvaluation, exp
from lorp.spec import GateSpec

MIN_WINDOWS = 30


@dataclass(frozen=True, kw_only=True)
class CriterionResult:
    """One criterion of a verdict.

    Attributes:
        name: What was measured.
        value: The estimate; None if there is none.
        bound: Its upper confidence bound; None if there is none.
        budget: What the bound must not exceed.
        passed: Whether it does not.
        reason: Why, for people.
    """

    name: str
    value: float | None
    bound: float | None
    budget: float
    passed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate said, of which variant, on which evaluations, under which budgets.

    Attributes:
        variant: Digest of the pruned checkpoint.
        evaluation: Digest over the dense and the pruned evaluation.
        gate: Digest of the gate's spec.
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
        """What identifies a verdict: digest of (variant, evaluation, gate spec)."""
        return digest_value([self.variant, self.evaluation, self.gate])


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean and its one-sided upper confidence bound."""

    mean: float
    upper: float


def judge(dense: PerplexityEvaluation, pruned: PerplexityEvaluation, spec: GateSpec) -> tuple[CriterionResult, ...]:
    """Measures every criterion of a gate; evaluations that cannot be judged fail all of them."""
    fault = _fault(dense, pruned)
    budgets = {"perplexity_ratio": spec.max_perplexity_ratio}
    if spec.max_perplexity is not None:
        budgets["perplexity"] = spec.max_perplexity
    if fault:
        return tuple(_unjudged(name, budget, fault) for name, budget in budgets.items())
    losses = np.array([item.loss for item in pruned.losses])
    samples = {"perplexity_ratio": losses - np.array([item.loss for item in dense.losses]), "perplexity": losses}
    documents = [item.document for item in dense.losses]
    return tuple(
        _judged(name, clustered_upper_bound(samples[name], documents, spec.confidence), budget)
        for name, budget in budgets.items()
    )


def clustered_upper_bound(values: Sequence[float] | np.ndarray, clusters: Sequence[str], confidence: float) -> Estimate:
    """Mean of values and its one-sided upper bound, robust to any dependence within a cluster.

    With n values in G clusters and cluster totals r_g of the deviations from the mean, the standard error is
    `sqrt(G / (G - 1) * sum r_g^2) / n`, and the bound uses Student's t with G - 1 degrees of freedom.

    Args:
        values: One a window.
        clusters: The cluster of each, at least two different ones.
        confidence: One-sided, 0.95 say.
    """
    array = np.asarray(values, dtype=np.float64)
    of_value = np.unique(np.array(clusters), return_inverse=True)[1]
    num_clusters = int(of_value.max()) + 1
    mean = float(array.mean())
    totals = np.bincount(of_value, weights=array - mean)
    error = math.sqrt(num_clusters / (num_clusters - 1) * float(totals @ totals)) / len(array)
    return Estimate(mean=mean, upper=mean + float(stats.t.ppf(confidence, num_clusters - 1)) * error)


def _fault(dense: PerplexityEvaluation, pruned: PerplexityEvaluation) -> str | None:
    """Why two evaluations cannot be judged, if they cannot."""
    for name, evaluation in (("dense", dense), ("pruned", pruned)):
        if len(evaluation.losses) != evaluation.num_expected:
            return f"the {name} evaluation has {len(evaluation.losses)} of {evaluation.num_expected} windows"
        if any(item.loss is None or not math.isfinite(item.loss) for item in evaluation.losses):
            return f"the {name} evaluation has losses that are not finite"
    if dense.windows_sha256 != pruned.windows_sha256 or _shape(dense) != _shape(pruned):
        return "dense and pruned were not evaluated on the same windows"
    if len(dense.losses) < MIN_WINDOWS:
        return f"{len(dense.losses)} windows were evaluated, and a verdict takes at least {MIN_WINDOWS}"
    if len({item.document for item in dense.losses}) < 2:
        return "all windows come from one document, so that nothing is known of others"
    return None


def _shape(evaluation: PerplexityEvaluation) -> list[tuple[str, str, int]]:
    return [(item.window, item.document, item.num_predicted) for item in evaluation.losses]


def _unjudged(name: str, budget: float, fault: str) -> CriterionResult:
    return CriterionResult(name=name, value=None, bound=None, budget=budget, passed=False, reason=fault)


def _judged(name: str, log: Estimate, budget: float) -> CriterionResult:
    value, bound = exp(log.mean), exp(log.upper)
    if not math.isfinite(bound):
        return _unjudged(name, budget, "the bound is too large for a number")
    passed = bound <= budget
    reason = f"upper bound {bound:.4g} is {'within' if passed else 'over'} the budget of {budget:g}"
    return CriterionResult(name=name, value=value, bound=bound, budget=budget, passed=passed, reason=reason)
