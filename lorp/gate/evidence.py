"""What a gate judges: evaluations of a dense model and its variant, and what each of them says with its interval.

An estimate that cannot be made is the reason why, as text.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorp.evaluation.downstream.results import DownstreamEvaluation, ItemResult
from lorp.evaluation.generation import GenerationEvaluation
from lorp.evaluation.perplexity import PerplexityEvaluation, exp
from lorp.evaluation.speed import SpeedComparison
from lorp.statistics import Estimate, bounded_differences, clustered_mean, median

MIN_WINDOWS = 30
MIN_ITEMS = 30
MIN_PROMPTS = 30
#: How far below 0 rounding may take a loss, in nats.
_ROUNDING = 1e-3

Estimated = Estimate | str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one model."""

    perplexity: PerplexityEvaluation
    tasks: DownstreamEvaluation | None = None
    generation: GenerationEvaluation | None = None

    @property
    def checkpoints(self) -> frozenset[str]:
        """Digests of what was measured."""
        measured = (self.perplexity, self.tasks, self.generation)
        return frozenset(evaluation.checkpoint for evaluation in measured if evaluation)

    @property
    def figures(self) -> dict[str, float]:
        """By name; perplexity may be NaN or infinite."""
        return {
            "perplexity": self.perplexity.perplexity,
            **(self.tasks.figures if self.tasks else {}),
            **(self.generation.figures if self.generation else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured of a dense model, of its variant, and of both together."""

    dense: Measured
    pruned: Measured
    speed: SpeedComparison | None = None

    @property
    def checkpoints(self) -> tuple[frozenset[str], frozenset[str]]:
        """Digests of the dense and of the pruned checkpoints that were measured: one each, if all is well."""
        dense = self.dense.checkpoints | ({self.speed.dense} if self.speed else set())
        return dense, self.pruned.checkpoints | ({self.speed.pruned} if self.speed else set())

    @property
    def figures(self) -> dict[str, float]:
        """Everything measured, by name; those of one model end in its name. Perplexities may be NaN or infinite."""
        of_models = {
            f"{name}_{model}": value
            for model, measured in (("dense", self.dense), ("pruned", self.pruned))
            for name, value in measured.figures.items()
        }
        return of_models | (self.speed.figures if self.speed else {})


def perplexity_ratio(evidence: Evidence, confidence: float) -> Estimated:
    """Pruned / dense perplexity, from the differences of their losses window by window, clustered by document.

    A window counts for the tokens that are predicted in it, as it does in the perplexities themselves.
    """
    dense, pruned = evidence.dense.perplexity, evidence.pruned.perplexity
    fault = _perplexity_fault(dense, pruned)
    if fault:
        return fault
    differences = np.array(_losses(pruned)) - np.array(_losses(dense))
    return _exp(clustered_mean(differences, _documents(dense), confidence, _tokens(dense)))


def perplexity(evidence: Evidence, confidence: float) -> Estimated:
    """Perplexity of the variant, windows clustered by document."""
    pruned = evidence.pruned.perplexity
    fault = _perplexity_fault(evidence.dense.perplexity, pruned)
    return fault or _exp(clustered_mean(_losses(pruned), _documents(pruned), confidence, _tokens(pruned)))


def accuracy_drop(evidence: Evidence, confidence: float) -> Estimated:
    """Dense - pruned accuracy, item by item, mean over tasks; items that share a document are one cluster."""
    dense, pruned = evidence.dense.tasks, evidence.pruned.tasks
    if dense is None or pruned is None:
        return "no task was measured"
    pairs = list(zip(dense.items, pruned.items, strict=False))
    clusters, tasks = [_cluster(one) for one, _ in pairs], [one.task for one, _ in pairs]
    fault = _tasks_fault(dense, pruned) or _too_few_items(clusters, tasks)
    if fault:
        return fault
    return bounded_differences([one.score - other.score for one, other in pairs], clusters, tasks, confidence)


def task_drop(dense: Sequence[ItemResult], pruned: Sequence[ItemResult], confidence: float) -> Estimated:
    """Dense - pruned accuracy of one task's items, in their order; for people, not a criterion."""
    clusters = [item.cluster for item in dense]
    if len(dense) != len(pruned) or not all(item.valid for item in (*dense, *pruned)):
        return "not all questions have answers"
    if len(set(clusters)) < 2:
        return "all questions come from one document"
    differences = [one.score - other.score for one, other in zip(dense, pruned, strict=True)]
    return bounded_differences(differences, clusters, [""] * len(clusters), confidence)


def repetition_increase(evidence: Evidence, confidence: float) -> Estimated:
    """Pruned - dense 4-gram repetition rate, prompt by prompt, clustered by document."""
    dense, pruned = evidence.dense.generation, evidence.pruned.generation
    if dense is None or pruned is None:
        return "nothing was generated"
    pairs = list(zip(dense.continuations, pruned.continuations, strict=False))
    documents = [one.document for one, _ in pairs]
    fault = _generation_fault(dense, pruned) or _too_few(documents, MIN_PROMPTS, "prompts were continued")
    if fault:
        return fault
    differences = [other.repetition - one.repetition for one, other in pairs]
    return bounded_differences(differences, documents, [""] * len(documents), confidence)


def prefill_speedup(evidence: Evidence, confidence: float) -> Estimated:
    """Dense / pruned seconds of a prefill, median over rounds."""
    return _speedup(evidence.speed.prefill_speedups if evidence.speed else [], confidence)


def decode_speedup(evidence: Evidence, confidence: float) -> Estimated:
    """Dense / pruned seconds a decoded token, median over rounds."""
    return _speedup(evidence.speed.decode_speedups if evidence.speed else [], confidence)


def memory_ratio(evidence: Evidence, confidence: float) -> Estimated:
    """Pruned / dense bytes of weights and of the timed sequence's KV cache; exact."""
    if evidence.speed is None:
        return "memory was not measured"
    ratio = evidence.speed.memory_ratio
    return Estimate(value=ratio, lower=ratio, upper=ratio)


def min_rounds(confidence: float) -> int:
    """Fewest rounds of timing whose median has a bound."""
    return next(count for count in itertools.count(1) if median([1.0] * count, confidence))


def _speedup(ratios: Sequence[float], confidence: float) -> Estimated:
    if not ratios:
        return "nothing was timed"
    return median(ratios, confidence) or f"{len(ratios)} rounds were timed, too few for a bound at {confidence:g}"


def _perplexity_fault(dense: PerplexityEvaluation, pruned: PerplexityEvaluation) -> str | None:
    for name, evaluation in (("dense", dense), ("pruned", pruned)):
        if len(evaluation.losses) != evaluation.num_expected:
            return f"the {name} evaluation has {len(evaluation.losses)} of {evaluation.num_expected} windows"
        if fault := _losses_fault(evaluation):
            return f"the {name} evaluation has {fault}"
    if dense.windows_sha256 != pruned.windows_sha256 or _windows(dense) != _windows(pruned):
        return "dense and pruned were not evaluated on the same windows"
    return _too_few(_documents(dense), MIN_WINDOWS, "windows were evaluated")


def _losses_fault(evaluation: PerplexityEvaluation) -> str | None:
    losses = evaluation.losses
    if any(item.loss is None or not math.isfinite(item.loss) for item in losses):
        return "losses that are not finite"
    if any((item.loss or 0.0) < -_ROUNDING for item in losses):
        return "losses below 0, which no probability gives"
    if any(item.num_predicted < 1 for item in losses):
        return "windows of which nothing was predicted"
    return "a window twice" if len({item.window for item in losses}) < len(losses) else None


def _cluster(item: ItemResult) -> str:
    """What an item shares with others, in other tasks too; an id of its own counts within its task only."""
    return f"{item.task}/{item.item}" if item.cluster == item.item else item.cluster


def _tasks_fault(dense: DownstreamEvaluation, pruned: DownstreamEvaluation) -> str | None:
    for name, evaluation in (("dense", dense), ("pruned", pruned)):
        if len(evaluation.items) != evaluation.num_expected:
            return f"the {name} model answered {len(evaluation.items)} of {evaluation.num_expected} questions"
        if not all(item.valid for item in evaluation.items):
            return f"the {name} model gave answers that are not finite"
        if len({(item.task, item.item) for item in evaluation.items}) < len(evaluation.items):
            return f"the {name} model answered a question twice"
    if dense.tasks_sha256 != pruned.tasks_sha256 or _questions(dense) != _questions(pruned):
        return "dense and pruned did not answer the same questions"
    return None


def _too_few_items(clusters: Sequence[str], tasks: Sequence[str]) -> str | None:
    if len(clusters) < MIN_ITEMS:
        return f"{len(clusters)} questions were answered, and a verdict takes at least {MIN_ITEMS}"
    of_task = [
        (task, {cluster for cluster, its in zip(clusters, tasks, strict=True) if its == task}) for task in set(tasks)
    ]
    alone = sorted(task for task, found in of_task if len(found) < 2)
    return f"all questions of {alone[0]} come from one document" if alone else None


def _generation_fault(dense: GenerationEvaluation, pruned: GenerationEvaluation) -> str | None:
    for name, evaluation in (("dense", dense), ("pruned", pruned)):
        if len(evaluation.continuations) != evaluation.num_expected:
            return f"the {name} model continued {len(evaluation.continuations)} of {evaluation.num_expected} prompts"
        if len({item.prompt for item in evaluation.continuations}) < len(evaluation.continuations):
            return f"the {name} model continued a prompt twice"
    if dense.windows_sha256 != pruned.windows_sha256 or _prompts(dense) != _prompts(pruned):
        return "dense and pruned did not continue the same prompts"
    return None


def _too_few(documents: Sequence[str], least: int, what: str) -> str | None:
    if len(documents) < least:
        return f"{len(documents)} {what}, and a verdict takes at least {least}"
    if len(set(documents)) < 2:
        return "all of them come from one document, so that nothing is known of others"
    return None


def _losses(evaluation: PerplexityEvaluation) -> list[float]:
    return [math.nan if item.loss is None else item.loss for item in evaluation.losses]


def _tokens(evaluation: PerplexityEvaluation) -> list[int]:
    return [item.num_predicted for item in evaluation.losses]


def _documents(evaluation: PerplexityEvaluation) -> list[str]:
    return [item.document for item in evaluation.losses]


def _windows(evaluation: PerplexityEvaluation) -> list[tuple[str, str, int]]:
    return [(item.window, item.document, item.num_predicted) for item in evaluation.losses]


def _questions(evaluation: DownstreamEvaluation) -> list[tuple[str, str, str, int]]:
    return [(item.task, item.item, item.cluster, item.label) for item in evaluation.items]


def _prompts(evaluation: GenerationEvaluation) -> list[tuple[str, str]]:
    return [(item.prompt, item.document) for item in evaluation.continuations]


def _exp(log: Estimate) -> Estimated:
    upper = exp(log.upper)
    if not math.isfinite(upper):
        return "the bound is too large for a number"
    return Estimate(value=exp(log.value), lower=exp(log.lower), upper=upper)
