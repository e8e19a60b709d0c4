"""What was answered: the log-likelihood of every choice of every item, and the accuracies that follow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lorp.evaluation.downstream.questions import Metric

#: Of characters of a choice: what says more is no answer.
_MOST = 1 << 31


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """One model's answer to one question.

    Attributes:
        task: The task's name.
        item: The question's id.
        cluster: What it shares with others that depend on it; its own id if nothing.
        metric: By which its task is judged.
        label: Index of the right choice.
        lengths: Characters of each choice.
        loglikelihoods: Of each choice, in nats; None where it is not finite.
    """

    task: str
    item: str
    cluster: str
    metric: Metric
    label: int
    lengths: tuple[int, ...]
    loglikelihoods: tuple[float | None, ...]

    def __post_init__(self) -> None:
        fits = 0 <= self.label < len(self.lengths) == len(self.loglikelihoods)
        if not fits or not 0 < min(self.lengths) <= max(self.lengths) < _MOST:
            raise ValueError(f"the answer to {self.item} is not to its choices")

    @property
    def num_choices(self) -> int:
        """How many there were to choose from."""
        return len(self.lengths)

    @property
    def valid(self) -> bool:
        """Whether every choice has a finite log-likelihood; if not, it has no answer."""
        return all(value is not None and math.isfinite(value) for value in self.loglikelihoods)

    @property
    def correct(self) -> bool:
        """Whether the right choice has the largest log-likelihood, the first of equals."""
        return self.valid and self._chosen([1] * self.num_choices) == self.label

    @property
    def correct_norm(self) -> bool:
        """Whether the right choice has the largest log-likelihood a character, the first of equals."""
        return self.valid and self._chosen(self.lengths) == self.label

    @property
    def score(self) -> float:
        """1.0 for a right answer by the task's metric, 0.0 for a wrong one, NaN for none."""
        if not self.valid:
            return math.nan
        return float(self.correct_norm if self.metric == "acc_norm" else self.correct)

    def _chosen(self, lengths: Sequence[int]) -> int:
        values = [(value or 0.0) / length for value, length in zip(self.loglikelihoods, lengths, strict=True)]
        return max(range(self.num_choices), key=values.__getitem__)


@dataclass(frozen=True, kw_only=True)
class DownstreamEvaluation:
    """Answers of one model to all questions.

    Attributes:
        checkpoint: Digest of what was evaluated.
        tasks_sha256: Digest of the questions.
        num_expected: Questions that were to be answered.
        items: A result a question, in their order.
    """

    checkpoint: str
    tasks_sha256: str
    num_expected: int
    items: tuple[ItemResult, ...]

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in the order asked."""
        return tuple(dict.fromkeys(item.task for item in self.items))

    @property
    def figures(self) -> dict[str, float]:
        """Accuracy, mean over tasks, and that of each task, by name."""
        of_tasks = {f"accuracy_{task}": self.score(task) for task in self.task_names}
        return {"accuracy": _mean(list(of_tasks.values())), **of_tasks}

    def of_task(self, task: str) -> tuple[ItemResult, ...]:
        """The items of one task."""
        return tuple(item for item in self.items if item.task == task)

    def score(self, task: str) -> float:
        """Accuracy of a task by its own metric; NaN where an item has no answer, or there is none."""
        return _mean([item.score for item in self.of_task(task)])

    def accuracy(self, task: str) -> float:
        """lm-eval's `acc` of a task; NaN where an item has no answer, or there is none."""
        return _mean([float(item.correct) if item.valid else math.nan for item in self.of_task(task)])

    def accuracy_norm(self, task: str) -> float:
        """lm-eval's `acc_norm` of a task; NaN where an item has no answer, or there is none."""
        return _mean([float(item.correct_norm) if item.valid else math.nan for item in self.of_task(task)])


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan
