"""The command line: `lorp recompress`, `plan` and `demo` here, the others in `flows.cli_*`.

Exit status: 0 approved (or done), 3 rejected by the gate or refused by the policy, 4 an audit found something,
2 bad input, 1 a fault. Heavy libraries are imported by the command that needs them, so that `--help` answers at once.
"""

import json
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from flows import arguments
from flows.cli_audit import auditing
from flows.cli_doctor import checkup
from flows.cli_keeping import keeping
from flows.cli_production import production
from flows.cli_sweep import sweeping
from flows.cli_up import installation
from flows.options import compute_of, make, make_texts, parse_remove, parse_tasks
from lorp import __version__
from lorp.disk import space_fault
from lorp.errors import LorpError, SpecError, without_passwords
from lorp.spec import (
    EMBEDDED_CORPUS,
    EMBEDDED_TASK,
    DownstreamSpec,
    GateSpec,
    GenerationSpec,
    HealingSpec,
    PruningSpec,
    RecompressSpec,
    SearchSpec,
    SpeedSpec,
)
from tasks.settings import settings

_INTERRUPTED = 130

app = typer.Typer(
    help="Makes large language models shallower, safely: removes transformer blocks without training, measures what "
    "that costs, and registers a variant only if a gate approves it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)


def main() -> NoReturn:
    """Entry point: runs a command, and turns every error into one line and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal's encoding has not is spelt out
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Runs a command; returns the exit status."""
    try:
        status = app(args=words, prog_name="lorp", standalone_mode=False) or 0
        return status if status != _INTERRUPTED else _interrupted()  # typer tells it by the status alone
    except typer.TyperException as fault:
        return _complain(f"{fault.format_message().rstrip('. ')}. See lorp --help.", 2)
    except LorpError as fault:
        return _complain(str(fault), fault.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except Exception as fault:  # the last line of defence: a person gets a line, not a traceback
        if _debugging():
            raise
        return _interrupted() if _after_interruption(fault) else _unforeseen(fault)


def _after_interruption(fault: BaseException | None) -> bool:
    """Whether a fault comes of an interruption, as where Ctrl-C has ended Prefect's server too."""
    while fault and not isinstance(fault, KeyboardInterrupt):
        fault = fault.__cause__ or fault.__context__
    return fault is not None


def _unforeseen(fault: Exception) -> int:
    full = space_fault(fault)
    if full:
        return _complain(str(full), full.exit_status)
    return _complain(f"{type(fault).__name__}: {fault}. Set LORP_DEBUG=1 for the traceback.", 1)


def _interrupted() -> int:
    return _complain("interrupted; run the same command again to resume.", _INTERRUPTED)


def _debugging() -> bool:
    try:
        return settings().debug
    except SpecError:
        return False


def _complain(message: str, status: int) -> int:
    typer.echo(f"lorp: {without_passwords(' '.join(message.split()))}", err=True)
    return status


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lorp {__version__}")
        raise typer.Exit


app.add_typer(production)
app.add_typer(installation)
app.add_typer(checkup)
app.add_typer(keeping)
app.add_typer(auditing)
app.add_typer(sweeping)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


_EMBEDDED = [EMBEDDED_CORPUS]
_GATE, _TASKS, _GENERATION, _SPEED = GateSpec(), DownstreamSpec(), GenerationSpec(), SpeedSpec()
_HEALING, _SEARCH = HealingSpec(), SearchSpec()


@app.command()
def recompress(
    source: arguments.Source,
    remove: arguments.Remove = "auto",
    stack: arguments.OfStack = None,
    method: arguments.SomeMethods = "auto",
    clustering: arguments.Clustering = "spectral",
    criterion: arguments.ClusterCriterion = "similarity",
    clusters: arguments.Clusters = None,
    calibration: arguments.Calibration = _EMBEDDED,
    calibration_windows: arguments.CalibrationWindows = None,
    evaluation: arguments.Evaluation = _EMBEDDED,
    evaluation_windows: arguments.EvaluationWindows = None,
    pairs: arguments.Pairs = None,
    mixture: arguments.CalibrationMixture = "all",
    window_tokens: arguments.WindowTokens = None,
    windows: arguments.Windows = "long",
    seed: arguments.Seed = 0,
    search_windows: arguments.SearchWindows = _SEARCH.num_score_windows,
    frontier_windows: arguments.FrontierWindows = _SEARCH.num_frontier_windows,
    search_swaps: arguments.SearchSwaps = _SEARCH.max_swaps,
    heal: arguments.Heal = _HEALING.method,
    heal_windows: arguments.HealWindows = _HEALING.num_windows,
    tasks: arguments.Tasks = EMBEDDED_TASK,
    num_fewshot: arguments.NumFewshot = _TASKS.num_fewshot,
    limit: arguments.Limit = _TASKS.limit,
    generation_prompts: arguments.GenerationPrompts = _GENERATION.num_prompts,
    generation_tokens: arguments.GenerationTokens = _GENERATION.max_new_tokens,
    speed_rounds: arguments.SpeedRounds = _SPEED.repeats,
    speed_tokens: arguments.SpeedTokens = _SPEED.prefill_tokens,
    max_perplexity_ratio: arguments.MaxPerplexityRatio = _GATE.max_perplexity_ratio,
    max_perplexity: arguments.MaxPerplexity = None,
    max_accuracy_drop: arguments.MaxAccuracyDrop = None,
    max_repetition_increase: arguments.MaxRepetitionIncrease = None,
    min_speedup: arguments.MinSpeedup = None,
    max_memory_ratio: arguments.MaxMemoryRatio = None,
    confidence: arguments.Confidence = _GATE.confidence,
    device: arguments.Device = None,
    dtype: arguments.ComputeDType = None,
    capture_mode: arguments.ModelsInMemory = "memory",
    weights_dtype: arguments.WeightsDType = "float32",
    name: arguments.Name = None,
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    config: arguments.Config = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Remove blocks from a checkpoint, measure what it costs, and register the variant if the gate approves.

    Finished stages are kept in the store and reused: change a budget, and only the gate runs again.

    Exit status: 0 approved, 3 rejected, 2 bad input, 1 a fault.

    Example: `lorp recompress ./SmolLM2-135M --max-perplexity-ratio 1.5`
    """
    texts = make_texts(
        calibration, evaluation, pairs, tasks, windows=(calibration_windows, evaluation_windows), mixture=mixture,
        packing=windows, window_tokens=window_tokens, seed=seed,
    )  # fmt: skip
    spec = make(
        RecompressSpec,
        source=source,
        name=name,
        weights_dtype=weights_dtype,
        calibration=texts.calibration,
        pruning=make(
            PruningSpec,
            remove=parse_remove(remove),
            method=method,
            clustering=clustering,
            criterion=criterion,
            num_clusters=clusters,
            stack="decoder" if stack == "both" else stack,
        ),
        search=make(
            SearchSpec,
            num_score_windows=search_windows,
            max_swaps=search_swaps,
            num_frontier_windows=frontier_windows,
        ),
        healing=make(HealingSpec, method=heal, num_windows=heal_windows),
        evaluation=texts.evaluation,
        tasks=make(DownstreamSpec, tasks=parse_tasks(texts.tasks), num_fewshot=num_fewshot, limit=limit, seed=seed),
        generation=make(GenerationSpec, num_prompts=generation_prompts, max_new_tokens=generation_tokens),
        speed=make(SpeedSpec, repeats=speed_rounds, prefill_tokens=speed_tokens),
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
        compute=compute_of(device, dtype, capture_mode),
    )
    from flows.command import recompress_all
    from flows.stacks import encoder_too

    return recompress_all([spec], store, tracking_uri, as_json, encoder_too if stack == "both" else None)


@app.command()
def plan(
    similarity: arguments.SimilarityFile,
    remove: arguments.Counts,
    method: arguments.Methods = "lorp",
    clustering: arguments.Clustering = "spectral",
    criterion: arguments.ClusterCriterion = "similarity",
    clusters: arguments.Clusters = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Plan from a similarity matrix, without a model.

    Example: `lorp plan --similarity similarity.npy --remove 1,3,5 --method lorp,shortgpt --json`
    """
    from flows.planning import plan_offline, show_plans

    specs = [
        make(
            PruningSpec,
            remove=parse_remove(count.strip()),
            method=selector.strip(),
            clustering=clustering,
            criterion=criterion,
            num_clusters=clusters,
        )
        for selector in method.split(",")
        for count in remove.split(",")
    ]
    planned = plan_offline(similarity, specs)
    if as_json:
        typer.echo(json.dumps(planned))
    else:
        show_plans(planned)
    return 0


@app.command()
def demo(
    store: arguments.Store = None, tracking_uri: arguments.TrackingUri = None, as_json: arguments.AsJson = False
) -> int:
    """Recompress SmolLM2-135M-Instruct, which comes with a package, at two counts under one budget."""
    from flows.command import recompress_all
    from flows.demo import demo_specs

    recompress_all(demo_specs(), store, tracking_uri, as_json)
    return 0
