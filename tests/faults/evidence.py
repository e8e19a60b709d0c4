"""Evaluations that a gate approves, in a store of their own, and ways to make others of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorp.corpus import Windows
from lorp.corpus.documents import Window
from lorp.digest import digest_bytes
from lorp.evaluation.downstream.questions import Question, Questions, TaskSummary
from lorp.evaluation.downstream.results import DownstreamEvaluation, ItemResult
from lorp.evaluation.generation import Continuation, GenerationEvaluation
from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.evaluation.speed import Memory, Round, SpeedComparison, Timing
from lorp.spec import GateSpec
from lorp.values import encode
from tasks.gate import Asked, Gate
from tasks.store import FolderStore
from tasks.vault import Reference, Vault

DENSE, PRUNED, OTHER = "d" * 64, "e" * 64, "f" * 64
_WINDOWS, _DOCUMENTS, _TOKENS = 60, 12, 9
NUM_PROMPTS = 36

#: With every budget there is, none of them tight.
BUDGETS = GateSpec(
    max_perplexity_ratio=1.5,
    max_perplexity=1e6,
    max_accuracy_drop=0.5,
    max_repetition_increase=0.5,
    min_speedup=0.5,
    max_memory_ratio=1.5,
)

Evaluations = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Evaluations as JSON, by role, and where they are stored.

    Attributes:
        vault: Where.
        sound: Those that are approved.
        asked: What was to be measured.
        other: As sound as those, but of another corpus and other questions.
    """

    vault: Vault
    sound: Evaluations
    asked: Asked
    other: Evaluations

    @property
    def other_windows(self) -> str:
        """Digest of another corpus's windows, stored too."""
        return str(self.other["dense"]["windows_sha256"])

    @property
    def other_questions(self) -> str:
        """Digest of other questions."""
        return str(self.other["dense_tasks"]["tasks_sha256"])

    def gate(self, evaluations: Evaluations) -> Gate:
        """The gate over these."""
        references = {role: self.stored(value) for role, value in evaluations.items()}
        return Gate(
            variant=_reference(PRUNED), dense=_reference(DENSE), evaluations=references, spec=BUDGETS, asked=self.asked,
        )  # fmt: skip

    def stored(self, value: Any) -> Reference:
        """Any JSON, NaN too, as an object of the store."""
        return self.vault.put("values", json.dumps(value).encode(), ".json")


def _reference(sha256: str) -> Reference:
    return Reference(key=f"variants/{sha256}", sha256=sha256, bytes=1)


def make_bench(folder: Path) -> Bench:
    """One in an empty folder."""
    vault = Vault(FolderStore(folder))
    sound, other = (_evaluations(vault, corpus) for corpus in ("a", "b"))
    asked = Asked(
        windows=sound["dense"]["windows_sha256"],
        questions=sound["dense_tasks"]["tasks_sha256"],
        num_prompts=NUM_PROMPTS,
    )
    return Bench(vault=vault, sound=sound, asked=asked, other=other)


def _evaluations(vault: Vault, corpus: str) -> Evaluations:
    windows, questions = _windows(corpus), _questions(corpus)
    stored = [vault.put("values", encode(value), ".json").sha256 for value in (windows, questions)]
    made: Evaluations = {"speed": _speed()}
    for role, digest, more in (("dense", DENSE, 0.0), ("pruned", PRUNED, 0.01)):
        made[role] = _perplexity(digest, stored[0], windows, more)
        made[f"{role}_tasks"] = _answers(digest, stored[1], questions)
        made[f"{role}_generation"] = _texts(digest, stored[0], windows)
    return {role: json.loads(encode(value)) for role, value in made.items()}


def _windows(corpus: str) -> Windows:
    windows = tuple(
        Window(
            id=f"{corpus}/{number % _DOCUMENTS}@{number}",
            document=f"{corpus}/{number % _DOCUMENTS}",
            text_sha256=digest_bytes(f"{corpus}{number}".encode()),
            tokens=tuple(range(_TOKENS)),
        )
        for number in range(_WINDOWS)
    )
    return Windows(corpus_sha256=digest_bytes(corpus.encode()), windows=windows)


def _questions(corpus: str) -> Questions:
    questions = tuple(
        Question(
            task="t",
            item=f"{corpus}{number}",
            cluster=f"{corpus}/{number % _DOCUMENTS}",
            metric="acc_norm",
            contexts=("c", "c"),
            continuations=(" a", " bc"),
            lengths=(1, 2),
            label=number % 2,
        )
        for number in range(40)
    )
    summary = TaskSummary(name="t", source="file", metric="acc_norm", num_fewshot=0, num_items=40)
    return Questions(tasks=(summary,), questions=questions)


def _perplexity(checkpoint: str, sha256: str, windows: Windows, more: float) -> PerplexityEvaluation:
    losses = tuple(
        WindowLoss(
            window=window.id,
            document=window.document,
            num_predicted=_TOKENS - 1,
            loss=3 + number % 7 / 10 + more + number % 3 / 100,
        )
        for number, window in enumerate(windows.windows)
    )
    return PerplexityEvaluation(checkpoint=checkpoint, windows_sha256=sha256, num_expected=len(losses), losses=losses)


def _answers(checkpoint: str, sha256: str, questions: Questions) -> DownstreamEvaluation:
    items = tuple(
        ItemResult(
            task=one.task,
            item=one.item,
            cluster=one.cluster,
            metric=one.metric,
            label=one.label,
            lengths=one.lengths,
            loglikelihoods=(-1.0 - number % 5, -1.5),
        )
        for number, one in enumerate(questions.questions)
    )
    return DownstreamEvaluation(checkpoint=checkpoint, tasks_sha256=sha256, num_expected=len(items), items=items)


def _texts(checkpoint: str, sha256: str, windows: Windows) -> GenerationEvaluation:
    continuations = tuple(
        Continuation(
            prompt=window.id,
            document=window.document,
            prompt_text="p",
            tokens=tuple(range(number, number + 8)),
            text="a text",
            ended=False,
        )
        for number, window in enumerate(windows.windows[:NUM_PROMPTS])
    )
    return GenerationEvaluation(
        checkpoint=checkpoint, windows_sha256=sha256, num_expected=NUM_PROMPTS, continuations=continuations
    )


def _speed() -> SpeedComparison:
    rounds = tuple(
        Round(
            dense=Timing(prefill=2.0 + number / 100, decode=1.0 + number / 100), pruned=Timing(prefill=1.5, decode=0.8)
        )
        for number in range(7)
    )
    return SpeedComparison(
        dense=DENSE,
        pruned=PRUNED,
        processor="cpu",
        dtype="float32",
        threads=1,
        prefill_tokens=8,
        decode_tokens=2,
        rounds=rounds,
        dense_memory=Memory(weights=1000, kv_token=10, peak=2000),
        pruned_memory=Memory(weights=800, kv_token=8, peak=1800),
    )
