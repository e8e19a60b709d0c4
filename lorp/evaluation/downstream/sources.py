"""Names of tasks, as a person gives them -> where their questions come from, each with what pins it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lorp.digest import digest_file
from lorp.errors import CorpusError, SpecError
from lorp.evaluation.downstream.continuation import Passage, continuation_questions
from lorp.evaluation.downstream.harness import harness_version, named_questions, task_file_questions
from lorp.evaluation.downstream.local_file import read_rows, row_questions
from lorp.evaluation.downstream.questions import Questions
from lorp.evaluation.downstream.task_yaml import read_task_yaml
from lorp.spec import EMBEDDED_TASK, DownstreamSpec

Kind = Literal["continuation", "rows", "yaml", "lm-eval"]


@dataclass(frozen=True, kw_only=True)
class TaskSource:
    """Where a task's questions come from.

    Attributes:
        kind: The evaluation text, a file of rows, a task file in lm-eval's YAML, or lm-eval's own tasks.
        name: The task's name.
        pin: What determines the questions, as far as can be known beforehand: digest of a file's content, lm-eval's
            version, or both. What data the hub gives for one of lm-eval's own is only settled by the questions made.
        path: Of the file.
    """

    kind: Kind
    name: str
    pin: str = ""
    path: str = ""


def task_source(task: str) -> TaskSource:
    """Where the questions of a task come from; its file, if it is one, is read for its digest.

    Args:
        task: `continuation`, a path that ends in .jsonl, .yaml or .yml, or a name that lm-eval knows.

    Raises:
        InputError: There is no such file, or it cannot be used.
    """
    path = Path(task).expanduser()
    if task == EMBEDDED_TASK:
        return TaskSource(kind="continuation", name=task)
    if path.suffix == ".jsonl":
        read_rows(path)
        return TaskSource(kind="rows", name=path.stem, pin=digest_file(path), path=str(path.absolute()))
    if path.suffix in (".yaml", ".yml"):
        file = read_task_yaml(path)
        pin = f"{harness_version()} {file.sha256}"
        return TaskSource(kind="yaml", name=file.name, pin=pin, path=str(path.absolute()))
    if "/" in task or path.suffix in (".json", ".csv", ".txt"):
        raise SpecError(f"{task} is no task file", "Give a .jsonl or .yaml file, or the name of a task")
    return TaskSource(kind="lm-eval", name=task, pin=harness_version())


def source_questions(source: TaskSource, spec: DownstreamSpec, passages: Sequence[Passage], scratch: Path) -> Questions:
    """The questions of a task.

    Args:
        source: Where they come from.
        spec: How many, after how many examples.
        passages: Of the evaluation text; only `continuation` needs them.
        scratch: A folder for work in progress.

    Raises:
        InputError: They cannot be made, or the file has changed.
    """
    questions = _questions(source, spec, passages, scratch)
    if task_source(source.path or source.name) != source:
        raise CorpusError(f"the task file of {source.name} changed while it was read", "Run again once it is complete")
    return questions


def _questions(source: TaskSource, spec: DownstreamSpec, passages: Sequence[Passage], scratch: Path) -> Questions:
    path = Path(source.path)
    if source.kind == "continuation":
        return continuation_questions(passages, spec.max_items, spec.seed)
    if source.kind == "rows":
        return row_questions(source.name, read_rows(path), spec)
    if source.kind == "yaml":
        return task_file_questions(read_task_yaml(path), spec, scratch)
    return named_questions(source.name, spec)
