"""A local JSON Lines file -> questions, one a row.

    {"id": "...", "context": "...", "question": "...", "choices": ["...", "..."], "label": 0}

A choice is scored after `context` and `question`, joined by a space. Where a row has `context_options` (a context a
choice) and `continuation`, the one continuation is scored after each context instead: partial evaluation, after Trinh
and Le (2018), https://arxiv.org/abs/1806.02847.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lorp.errors import CorpusError
from lorp.evaluation.downstream.questions import Metric, Question, Questions, one_task
from lorp.spec import DownstreamSpec

MAX_FILE_BYTES = 1 << 28
MAX_CHOICES = 64

_Text = Annotated[str, Field(pattern=r"\S")]
_Texts = Annotated[tuple[_Text, ...], Field(min_length=2, max_length=MAX_CHOICES)]


class Row(BaseModel):
    """A row of a task file.

    Attributes:
        id: Unique in the file.
        context: What comes before the question.
        question: What is asked; may be empty, as the context may.
        choices: Two to 64 texts.
        label: Index of the right choice.
        context_options: A context a choice, where partial evaluation is wanted.
        continuation: What is scored after each of them.
        cluster: What rows share that depend on each other, such as the name of a passage; the row's id unless given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, Field(min_length=1, max_length=200)]
    context: str = ""
    question: str = ""
    choices: _Texts
    label: Annotated[int, Field(ge=0)]
    context_options: _Texts | None = None
    continuation: _Text | None = None
    cluster: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Row":
        if self.label >= len(self.choices):
            raise ValueError("label names no choice")
        if (self.context_options is None) != (self.continuation is None):
            raise ValueError("context_options and continuation belong together")
        if self.context_options is not None and len(self.context_options) != len(self.choices):
            raise ValueError("context_options are not as many as choices")
        return self

    @property
    def contexts(self) -> tuple[str, ...]:
        """What precedes each choice, few-shot examples apart."""
        if self.context_options is not None:
            return self.context_options
        return (" ".join(text for text in (self.context.strip(), self.question.strip()) if text),) * len(self.choices)

    @property
    def continuations(self) -> tuple[str, ...]:
        """What is scored for each choice."""
        return self.choices if self.continuation is None else (self.continuation,) * len(self.choices)

    @property
    def solved(self) -> str:
        """The row as a few-shot example."""
        return f"{self.contexts[self.label]} {self.continuations[self.label].strip()}".lstrip()

    @property
    def metric(self) -> Metric:
        """Length-normalised accuracy, unless the choices stand before what is scored."""
        return "acc_norm" if self.continuation is None else "acc"


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a task file; blank lines are skipped.

    Raises:
        CorpusError: It is missing, too large, empty, or a line is no such row.
    """
    lines = _read(path).split("\n")
    rows = [_row(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise CorpusError(f"the task file {path.name} is empty", "Give a file with questions in it")
    if len({row.metric for row in rows}) > 1:
        raise CorpusError(f"only some rows of {path.name} have context_options", "Put them into a file of their own")
    return tuple(rows)


def row_questions(task: str, rows: Sequence[Row], spec: DownstreamSpec) -> Questions:
    """Questions from the first rows of a file, each after few-shot examples drawn from all other rows.

    Raises:
        CorpusError: There are fewer other rows than few-shot examples, or two rows have one id.
    """
    questions = [_question(task, row, _examples(row, rows, spec)) for row in rows[: spec.max_items]]
    return one_task(questions, source="file", num_fewshot=spec.num_fewshot)


def _question(task: str, row: Row, examples: str) -> Question:
    lengths = row.choices if row.continuation is None else row.contexts
    return Question(
        task=task,
        item=row.id,
        cluster=row.cluster or row.id,
        metric=row.metric,
        contexts=tuple(examples + context for context in row.contexts),
        continuations=tuple(f" {continuation}" for continuation in row.continuations),
        lengths=tuple(map(len, lengths)),
        label=row.label,
    )


def _examples(row: Row, rows: Sequence[Row], spec: DownstreamSpec) -> str:
    """Solved rows other than this one, and than those that ask the same; a blank line after each."""
    others = [other for other in rows if other.contexts != row.contexts] if spec.num_fewshot else []
    if len(others) < spec.num_fewshot:
        raise CorpusError(
            f"{spec.num_fewshot} few-shot examples are asked for, and {len(others)} other rows can give them",
            "Lower --num-fewshot",
        )
    drawn = random.Random(f"{spec.seed}/{row.id}").sample(others, spec.num_fewshot)
    return "".join(f"{other.solved}\n\n" for other in drawn)


def _row(path: Path, number: int, line: str) -> Row:
    try:
        return Row.model_validate_json(line)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"line {number} of {path.name} is no question: {where} {first['msg']}"
        raise CorpusError(reason, "See docs/tasks.md for the format") from None


def _read(path: Path) -> str:
    if not path.is_file():
        raise CorpusError(f"there is no task file {path}", "Give a .jsonl file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CorpusError(f"{path.name} is larger than 256 MiB", "Give a part of it")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise CorpusError(f"{path.name} is no UTF-8 text: {fault}", "Give a UTF-8 file") from None
