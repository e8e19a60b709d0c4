"""Task names + evaluation windows -> questions, frozen; questions + checkpoint -> an answer to each.

Questions are a stored object of their own, so that dense and pruned model answer the same ones, and a second machine
needs no hub.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.corpus import Windows
from lorp.errors import SpecError
from lorp.evaluation.downstream.answer import answer_questions
from lorp.evaluation.downstream.continuation import Passage, window_passages
from lorp.evaluation.downstream.questions import Questions, merged
from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.evaluation.downstream.sources import TaskSource, source_questions, task_source
from lorp.models import device_kind, load_tokenizer
from lorp.spec import ComputeSpec, DownstreamSpec
from lorp.values import decode, encode
from tasks.models import shared_model
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class AskQuestions(Request):
    """The questions of all tasks.

    Attributes:
        checkpoint: The dense one; its tokenizer gives the windows' text.
        windows: The evaluation windows.
        sources: Where each task's questions come from.
        spec: How many, after how many examples.
    """

    STAGE: ClassVar[str] = "questions"
    VERSION: ClassVar[int] = 1
    READS_FILES: ClassVar[bool] = True
    checkpoint: Reference
    windows: Reference
    sources: tuple[TaskSource, ...]
    spec: DownstreamSpec

    def inputs(self) -> Mapping[str, Any]:
        """What pins each task, and what is asked of them; windows and checkpoint where their text is a task."""
        text = {"checkpoint": self.checkpoint.sha256, "windows": self.windows.sha256} if self._needs_text else {}
        return {
            "tasks": [[source.kind, source.name, source.pin] for source in self.sources],
            "num_fewshot": self.spec.num_fewshot,
            "limit": self.spec.limit,
            "seed": self.spec.seed,
            **text,
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Makes the questions, task by task."""
        passages = self._passages(vault) if self._needs_text else ()
        questions = merged(source_questions(source, self.spec, passages, scratch) for source in self.sources)
        return {"questions": vault.put("values", encode(questions), ".json")}

    @property
    def _needs_text(self) -> bool:
        return any(source.kind == "continuation" for source in self.sources)

    def _passages(self, vault: Vault) -> tuple[Passage, ...]:
        tokenizer = load_tokenizer(vault.folder(self.checkpoint))

        def detokenize(tokens: Sequence[int]) -> str:
            return str(tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

        return window_passages(decode(Windows, vault.read(self.windows)).windows, detokenize)


@dataclass(frozen=True, kw_only=True)
class AnswerQuestions(Request):
    """A checkpoint's or variant's answers."""

    STAGE: ClassVar[str] = "answers"
    VERSION: ClassVar[int] = 1
    checkpoint: Reference
    questions: Reference
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint and questions, dtype and kind of device."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "questions": self.questions.sha256,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Runs the model over every choice of every question."""
        questions = decode(Questions, vault.read(self.questions)).questions
        folder = vault.folder(self.checkpoint)
        with shared_model(folder, self.compute_spec) as model:
            items = answer_questions(model, load_tokenizer(folder), questions)
        evaluation = DownstreamEvaluation(
            checkpoint=self.checkpoint.sha256,
            tasks_sha256=self.questions.sha256,
            num_expected=len(questions),
            items=items,
        )
        return {"evaluation": vault.put("values", encode(evaluation), ".json")}


def questions_request(checkpoint: Reference, windows: Reference, spec: DownstreamSpec) -> AskQuestions:
    """The stage that makes the questions of a spec with at least one task.

    Args:
        checkpoint: The dense one.
        windows: The evaluation windows.
        spec: What is asked for.

    Raises:
        InputError: A task file is missing or cannot be used.
    """
    sources = tuple(task_source(task) for task in spec.tasks)
    return AskQuestions(checkpoint=checkpoint, windows=windows, sources=sources, spec=spec)


def check_tasks(spec: DownstreamSpec) -> None:
    """Finds what can be found wrong with tasks before anything is started.

    Raises:
        InputError: A task file is missing or cannot be used.
    """
    names = [task_source(task).name for task in spec.tasks]
    if len(set(names)) < len(names) or not all(names):
        raise SpecError(f"the tasks {', '.join(names)} repeat one, or name none", "Name each task once, or none at all")
