"""Dense and pruned evaluations -> perplexities with bounds, and the documents where loss rose most."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss, exp
from lorp.gate import CriterionResult
from lorp.report.budget_line import BudgetLine
from lorp.report.text import PERPLEXITY, RATIO, criterion_label
from lorp.statistics import clustered_mean

_DRAWN = 1e12
_Pair = tuple[WindowLoss, WindowLoss]


@dataclass(frozen=True, kw_only=True)
class ModelPerplexity:
    """One model's perplexity.

    Attributes:
        name: Which model.
        perplexity: NaN where a loss is missing.
        lower: One-sided lower bound; None where there is none.
        bound: One-sided upper bound; None where there is none.
    """

    name: str
    perplexity: float
    lower: float | None
    bound: float | None


@dataclass(frozen=True, kw_only=True)
class DocumentChange:
    """One document's perplexities.

    Attributes:
        document: The document's id.
        num_windows: Its windows.
        dense: Perplexity of the dense model.
        pruned: Perplexity of the pruned model.
    """

    document: str
    num_windows: int
    dense: float
    pruned: float

    @property
    def ratio(self) -> float:
        """Pruned / dense."""
        return self.pruned / self.dense


def model_perplexity(name: str, evaluation: PerplexityEvaluation, confidence: float) -> ModelPerplexity:
    """Perplexity of one evaluation, bounded with windows clustered by document."""
    losses = [item.loss for item in evaluation.losses if item.loss is not None and math.isfinite(item.loss)]
    documents = [item.document for item in evaluation.losses]
    if len(losses) < len(documents) or len(set(documents)) < 2:
        return ModelPerplexity(name=name, perplexity=evaluation.perplexity, lower=None, bound=None)
    log = clustered_mean(losses, documents, confidence, [item.num_predicted for item in evaluation.losses])
    return ModelPerplexity(name=name, perplexity=evaluation.perplexity, lower=exp(log.lower), bound=exp(log.upper))


def hardest_hit(dense: PerplexityEvaluation, pruned: PerplexityEvaluation, count: int) -> tuple[DocumentChange, ...]:
    """The documents with the highest ratio of perplexities, highest first; none unless all windows can be paired."""
    pairs = _pairs(dense, pruned)
    groups: defaultdict[str, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair[0].document].append(pair)
    changes = [_change(document, group) for document, group in groups.items()]
    return tuple(sorted(changes, key=lambda change: (-change.ratio, change.document))[:count])


def budget_lines(criteria: Iterable[CriterionResult], dense: PerplexityEvaluation) -> tuple[BudgetLine, ...]:
    """A line for each criterion of perplexity that has a value, unless its numbers are too far apart to draw."""
    references = {RATIO: 1.0, PERPLEXITY: dense.perplexity}
    return tuple(
        BudgetLine(
            name=criterion_label(item.name),
            reference=references[item.name],
            value=item.value,
            bound=item.bound,
            budget=item.budget,
        )
        for item in criteria
        if item.name in references and item.value and item.bound
        if all(1 / _DRAWN < shown < _DRAWN for shown in (item.value, item.bound, item.budget, references[item.name]))
    )


def _pairs(dense: PerplexityEvaluation, pruned: PerplexityEvaluation) -> list[_Pair]:
    if [item.window for item in dense.losses] != [item.window for item in pruned.losses]:
        return []
    if not (math.isfinite(dense.perplexity) and math.isfinite(pruned.perplexity)):
        return []
    return list(zip(dense.losses, pruned.losses, strict=True))


def _change(document: str, pairs: list[_Pair]) -> DocumentChange:
    return DocumentChange(
        document=document,
        num_windows=len(pairs),
        dense=_perplexity(first for first, _ in pairs),
        pruned=_perplexity(second for _, second in pairs),
    )


def _perplexity(items: Iterable[WindowLoss]) -> float:
    losses = list(items)
    return exp(sum((item.loss or 0.0) * item.num_predicted for item in losses) / sum(i.num_predicted for i in losses))
