"""The command `lorp sweep`."""

from typing import Annotated

import typer

from flows import arguments
from flows.options import compute_of, make, make_texts, parse_counts, parse_names, parse_tasks
from lorp.spec import (
    EMBEDDED_CORPUS,
    EMBEDDED_TASK,
    DownstreamSpec,
    GateSpec,
    GenerationSpec,
    HealingSpec,
    PruningSpec,
    Recipe,
    SearchSpec,
    SpeedSpec,
)

sweeping = typer.Typer()

_EMBEDDED = [EMBEDDED_CORPUS]
_GATE, _TASKS, _GENERATION, _SPEED = GateSpec(), DownstreamSpec(), GenerationSpec(), SpeedSpec()
_HEALING, _SEARCH = HealingSpec(), SearchSpec()

_Methods = Annotated[
    str, typer.Option(help="Selectors, each by itself, with commas: lorp, shortgpt, streamline, greedy, auto.")
]
_Heal = Annotated[str, typer.Option(help="Healing methods, with commas: none, linear, refit, magnitude, auto.")]


@sweeping.command()
def sweep(
    source: arguments.Source,
    remove: arguments.Counts,
    stack: arguments.OneStack = None,
    method: _Methods = "lorp,shortgpt,auto",
    clustering: arguments.Clustering = "spectral",
    criterion: arguments.ClusterCriterion = "similarity",
    clusters: arguments.Clusters = None,
    heal: _Heal = "none,linear",
    heal_windows: arguments.HealWindows = _HEALING.num_windows,
    calibration: arguments.Calibration = _EMBEDDED,
    calibration_windows: arguments.CalibrationWindows = None,
    evaluation: arguments.Evaluation = _EMBEDDED,
    evaluation_windows: arguments.EvaluationWindows = None,
    pairs: arguments.Pairs = None,
    window_tokens: arguments.WindowTokens = None,
    windows: arguments.Windows = "long",
    seed: arguments.Seed = 0,
    search_windows: arguments.SearchWindows = _SEARCH.num_score_windows,
    search_swaps: arguments.SearchSwaps = _SEARCH.max_swaps,
    tasks: arguments.Tasks = EMBEDDED_TASK,
    limit: arguments.Limit = _TASKS.limit,
    generation_prompts: arguments.GenerationPrompts = _GENERATION.num_prompts,
    speed_rounds: arguments.SpeedRounds = _SPEED.repeats,
    max_perplexity_ratio: arguments.MaxPerplexityRatio = _GATE.max_perplexity_ratio,
    max_perplexity: arguments.MaxPerplexity = None,
    max_accuracy_drop: arguments.MaxAccuracyDrop = None,
    max_repetition_increase: arguments.MaxRepetitionIncrease = None,
    min_speedup: arguments.MinSpeedup = None,
    max_memory_ratio: arguments.MaxMemoryRatio = None,
    confidence: arguments.Confidence = _GATE.confidence,
    device: arguments.Device = None,
    dtype: arguments.ComputeDType = None,
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Compare counts, selectors and healings of one checkpoint; nothing is registered.

    Each combination comes to the verdict that `lorp recompress` would come to. Finished stages are kept and reused.

    Exit status: 0 every combination has a verdict, 1 some have none or a fault, 2 bad input.

    Example: `lorp sweep ./SmolLM2-135M --remove 1,3,5 --method lorp,shortgpt,auto --heal none,linear`
    """
    texts = make_texts(
        calibration, evaluation, pairs, tasks, windows=(calibration_windows, evaluation_windows),
        packing=windows, window_tokens=window_tokens, seed=seed,
    )  # fmt: skip
    recipe = make(
        Recipe,
        pruning=make(PruningSpec, stack=stack, clustering=clustering, criterion=criterion, num_clusters=clusters),
        calibration=texts.calibration,
        search=make(SearchSpec, num_score_windows=search_windows, max_swaps=search_swaps),
        healing=make(HealingSpec, num_windows=heal_windows),
        evaluation=texts.evaluation,
        tasks=make(DownstreamSpec, tasks=parse_tasks(texts.tasks), limit=limit, seed=seed),
        generation=make(GenerationSpec, num_prompts=generation_prompts),
        speed=make(SpeedSpec, repeats=speed_rounds),
        gate=make(
            GateSpec,
            max_perplexity_ratio=max_perplexity_ratio,
            max_perplexity=max_perplexity,
            max_accuracy_drop=max_accuracy_drop,
            max_repetition_increase=max_repetition_increase,
            min_speedup=min_speedup,
            max_memory_ratio=max_memory_ratio,
            confidence=confidence,
        ),
        compute=compute_of(device, dtype),
    )
    from flows.sweep import SweepSpec
    from flows.sweeping import sweep_source

    asked = make(
        SweepSpec,
        source=source,
        remove=parse_counts(remove),
        method=parse_names(method),
        healing=parse_names(heal),
        recipe=recipe,
    )
    return sweep_source(asked, store, tracking_uri, as_json)
