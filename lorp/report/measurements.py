"""Evaluations beside perplexity -> the rows that the page shows of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.evaluation.generation import Continuation, GenerationEvaluation, agreement
from lorp.evaluation.speed import SpeedComparison, Timing
from lorp.gate import Evidence
from lorp.gate.evidence import accuracy_drop, decode_speedup, prefill_speedup, repetition_increase, task_drop
from lorp.report.text import counted, interval, number, percent, size
from lorp.statistics import Estimate

_SAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of dense model and variant, as text, and what became of it."""

    name: str
    dense: str
    pruned: str
    change: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One prompt with both continuations; of a sound or an image the name of its document stands for it."""

    prompt: str
    dense: Continuation
    pruned: Continuation


@dataclass(frozen=True, kw_only=True)
class TasksSection:
    """What is shown of multiple-choice tasks."""

    num_items: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class GenerationSection:
    """What is shown of continuations."""

    num_prompts: int
    rows: tuple[Row, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True)
class SpeedSection:
    """What is shown of time and memory."""

    comparison: SpeedComparison
    rows: tuple[Row, ...]


def tasks_section(evidence: Evidence, confidence: float) -> TasksSection | None:
    """Accuracies; None where no task was measured."""
    dense, pruned = evidence.dense.tasks, evidence.pruned.tasks
    if dense is None or pruned is None or not dense.items or not pruned.items:
        return None
    rows = [_task_row(dense, pruned, task, confidence) for task in dense.task_names]
    drop = interval(accuracy_drop(evidence, confidence))
    mean = Row(
        name="Mean over tasks",
        dense=percent(dense.figures["accuracy"]),
        pruned=percent(pruned.figures["accuracy"]),
        change=drop,
    )
    return TasksSection(num_items=len(dense.items), rows=(*rows, mean) if len(rows) > 1 else (*rows,))


def generation_section(evidence: Evidence, confidence: float) -> GenerationSection | None:
    """Rates and samples; None where nothing was generated."""
    dense, pruned = evidence.dense.generation, evidence.pruned.generation
    if dense is None or pruned is None or not dense.continuations or not pruned.continuations:
        return None
    pairs = list(zip(dense.continuations, pruned.continuations, strict=False))
    return GenerationSection(
        num_prompts=len(pairs),
        rows=_generation_rows(dense, pruned, repetition_increase(evidence, confidence)),
        samples=tuple(
            Sample(prompt=one.prompt_text or one.document, dense=one, pruned=other)
            for one, other in _chosen(pairs)[:_SAMPLES]
        ),
    )


def speed_section(evidence: Evidence, confidence: float) -> SpeedSection | None:
    """Times and bytes; None where nothing was timed."""
    speed = evidence.speed
    if speed is None:
        return None
    return SpeedSection(
        comparison=speed,
        rows=(
            _time_row(
                "Prefill, ms",
                speed,
                lambda timing: timing.prefill,
                prefill_speedup(evidence, confidence),
            ),
            _time_row(
                "Decoding, ms a token",
                speed,
                lambda timing: timing.decode,
                decode_speedup(evidence, confidence),
            ),
            _size_row("Weights", speed.dense_memory.weights, speed.pruned_memory.weights),
            _size_row("KV cache a token", speed.dense_memory.kv_token, speed.pruned_memory.kv_token),
            _size_row("Peak of a prefill", speed.dense_memory.peak, speed.pruned_memory.peak),
        ),
    )


def _task_row(dense: DownstreamEvaluation, pruned: DownstreamEvaluation, task: str, confidence: float) -> Row:
    items = dense.of_task(task)
    drop = task_drop(items, pruned.of_task(task), confidence)
    return Row(
        name=f"{task} ({items[0].metric}, {counted(len(items), 'item')})",
        dense=percent(dense.score(task)),
        pruned=percent(pruned.score(task)),
        change=interval(drop),
    )


def _generation_rows(
    dense: GenerationEvaluation, pruned: GenerationEvaluation, increase: Estimate | str
) -> tuple[Row, ...]:
    pairs = list(zip(dense.continuations, pruned.continuations, strict=False))
    agreed = sum(agreement(one, other) for one, other in pairs) / len(pairs)
    return (
        Row(
            name="4-gram repetition rate",
            dense=number(dense.repetition, 3),
            pruned=number(pruned.repetition, 3),
            change=interval(increase),
        ),
        Row(name="Empty texts", dense=str(dense.num_empty), pruned=str(pruned.num_empty)),
        Row(name="Cut off, not ended", dense=str(dense.num_endless), pruned=str(pruned.num_endless)),
        Row(name="First 16 tokens in common", dense="", pruned="", change=percent(agreed)),
    )


def _chosen(pairs: Sequence[tuple[Continuation, Continuation]]) -> list[tuple[Continuation, Continuation]]:
    """The pair that fared worst, so that it is not overlooked, then the others as they come: a fair sample."""
    worst = max(range(len(pairs)), key=lambda index: pairs[index][1].repetition - pairs[index][0].repetition)
    return [pairs[worst], *pairs[:worst], *pairs[worst + 1 :]]


def _time_row(name: str, speed: SpeedComparison, part: Callable[[Timing], float], estimate: Estimate | str) -> Row:
    dense, pruned = (
        median(1000 * part(timing) for timing in timings)
        for timings in ([entry.dense for entry in speed.rounds], [entry.pruned for entry in speed.rounds])
    )
    return Row(name=name, dense=number(dense, 3), pruned=number(pruned, 3), change=interval(estimate))


def _size_row(name: str, dense: int, pruned: int) -> Row:
    return Row(name=name, dense=size(dense), pruned=size(pruned), change=f"{number(pruned / dense, 3)} times")
