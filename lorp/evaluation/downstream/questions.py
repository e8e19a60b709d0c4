"""What is asked: multiple-choice questions as the strings that a model is given, few-shot examples included."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lorp.errors import CorpusError, SpecError

#: `acc`: the choice of the largest log-likelihood; `acc_norm`: of the largest log-likelihood a character.
Metric = Literal["acc", "acc_norm"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One item of a task: choice i is scored by the log-likelihood of `continuations[i]` after `contexts[i]`.

    Attributes:
        task: The task's name.
        item: The item's id, unique within the task.
        cluster: What items share that depend on each other: their document or passage; else the item's own.
        metric: By which the task is judged.
        contexts: What precedes each choice. The same text for all of them, except where a task is scored by what
            follows its choices (WinoGrande's partial evaluation).
        continuations: What is scored, a text a choice.
        lengths: Characters of each choice, by which `acc_norm` divides.
        label: Index of the right choice.
    """

    task: str
    item: str
    cluster: str
    metric: Metric
    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    lengths: tuple[int, ...]
    label: int

    def __post_init__(self) -> None:
        num_choices = len(self.contexts)
        assert num_choices == len(self.continuations) == len(self.lengths)
        assert 0 <= self.label < num_choices
        assert min(self.lengths) > 0


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """A task as it was asked.

    Attributes:
        name: The task's name.
        source: `evaluation text`, `file`, or lm-eval with its version.
        metric: By which it is judged.
        num_fewshot: Solved examples before each question.
        num_items: Its questions.
    """

    name: str
    source: str
    metric: Metric
    num_fewshot: int
    num_items: int


@dataclass(frozen=True, kw_only=True)
class Questions:
    """All questions, task by task in the order asked for."""

    tasks: tuple[TaskSummary, ...]
    questions: tuple[Question, ...]


def one_task(questions: Sequence[Question], *, source: str, num_fewshot: int) -> Questions:
    """The questions of one task, with what was asked for.

    Raises:
        CorpusError: There are none, or two of them have one id.
    """
    if not questions:
        raise CorpusError("a task has no questions", "Choose another task")
    first = questions[0]
    if len({question.item for question in questions}) < len(questions):
        raise CorpusError(f"two questions of the task {first.task} have one id", "Give each an id of its own")
    summary = TaskSummary(
        name=first.task, source=source, metric=first.metric, num_fewshot=num_fewshot, num_items=len(questions)
    )
    return Questions(tasks=(summary,), questions=tuple(questions))


def merged(parts: Iterable[Questions]) -> Questions:
    """The questions of several tasks.

    Raises:
        SpecError: Two tasks have one name.
    """
    parts = tuple(parts)
    tasks = tuple(task for part in parts for task in part.tasks)
    names = [task.name for task in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecError(
            f"two tasks are called {twice}", "Name each task once, and rename a file that is called like one"
        )
    return Questions(tasks=tasks, questions=tuple(question for part in parts for question in part.questions))
