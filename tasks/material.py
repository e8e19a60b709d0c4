"""What was evaluated, as it says itself, held against the windows and questions that it names."""

from collections.abc import Iterator, Sequence

from lorp.corpus import Windows
from lorp.corpus.documents import Window
from lorp.errors import IntegrityError
from lorp.evaluation.downstream.questions import Questions
from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.evaluation.generation import GenerationEvaluation, choose_prompts
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.gate import Evidence
from lorp.values import decode
from tasks.vault import Vault


def check_material(vault: Vault, evidence: Evidence) -> None:
    """Refuses what was measured on other windows, prompts or questions than those in the store, or on fewer.

    What is missing at the end is left to the gate, which rejects it.

    Raises:
        IntegrityError: It was; or what it names is gone or has changed.
    """
    fault = next(_faults(vault, evidence), None)
    if fault:
        raise IntegrityError(f"an evaluation is of something else than it says: {fault}", "Run again, or report this")


def _faults(vault: Vault, evidence: Evidence) -> Iterator[str]:
    for model, measured in (("dense", evidence.dense), ("pruned", evidence.pruned)):
        windows = decode(Windows, vault.read_value(measured.perplexity.windows_sha256)).windows
        if not _are_of(measured.perplexity, windows):
            yield f"the {model} model's losses are not of the windows that it names"
        if measured.generation and not _continue(measured.generation, windows, measured.perplexity.windows_sha256):
            yield f"what the {model} model wrote does not continue the windows that it names"
        if measured.tasks and not _answer(measured.tasks, vault):
            yield f"the {model} model's answers are not to the questions that it names"


def _are_of(evaluation: PerplexityEvaluation, windows: Sequence[Window]) -> bool:
    losses = evaluation.losses
    told = [(item.window, item.document) for item in losses]
    predicted = [item.num_predicted for item in losses]
    # With an encoder all tokens are predicted, and else all but the first or those that are given.
    all_of = [len(window.tokens) for window in windows][: len(losses)]
    but_first = [len(window.tokens) - max(window.num_given, 1) for window in windows][: len(losses)]
    return (
        evaluation.num_expected >= len(windows)
        and told == [(window.id, window.document) for window in windows][: len(losses)]
        and predicted in (all_of, but_first)
    )


def _continue(evaluation: GenerationEvaluation, windows: Sequence[Window], sha256: str) -> bool:
    prompts = choose_prompts(windows, evaluation.num_expected)
    told = [(item.prompt, item.document) for item in evaluation.continuations]
    expected = [(window.id, window.document) for window in prompts][: len(told)]
    return evaluation.windows_sha256 == sha256 and told == expected


def _answer(evaluation: DownstreamEvaluation, vault: Vault) -> bool:
    asked = decode(Questions, vault.read_value(evaluation.tasks_sha256)).questions
    told = [(item.task, item.item, item.cluster, item.metric, item.label, item.lengths) for item in evaluation.items]
    expected = [(one.task, one.item, one.cluster, one.metric, one.label, one.lengths) for one in asked]
    return evaluation.num_expected >= len(asked) and told == expected[: len(told)]
