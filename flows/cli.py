"""The command line: `lorp recompress`, `lorp plan`, `lorp demo`.

Exit status: 0 approved (or done), 3 rejected by the gate, 2 bad input, 1 a fault. Heavy libraries are imported by the
command that needs them, so that `--help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flows.options import debug, make, parse_remove, read_config
from lorp import __version__
from lorp.errors import LorpError
from lorp.spec import (
    CalibrationSpec,
    ClusteringKind,
    ComputeSpec,
    Criterion,
    DType,
    EvaluationSpec,
    GateSpec,
    Method,
    PruningSpec,
    RecompressSpec,
)

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
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs a command; returns the exit status."""
    try:
        return app(args=arguments, prog_name="lorp", standalone_mode=False) or 0
    except typer.TyperException as fault:
        return _complain(f"{fault.format_message().rstrip('. ')}. See lorp --help.", 2)
    except LorpError as fault:
        return _complain(str(fault), fault.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted; run the same command again to resume.", _INTERRUPTED)
    except Exception as fault:  # the last line of defence: a person gets a line, not a traceback
        if debug():
            raise
        return _complain(f"{type(fault).__name__}: {fault}. Set LORP_DEBUG=1 for the traceback.", 1)


def _complain(message: str, status: int) -> int:
    typer.echo(f"lorp: {' '.join(message.split())}", err=True)
    return status


def _config(context: typer.Context, value: Path | None) -> Path | None:
    if value is not None:
        context.default_map = read_config(value, _names(context))
    return value


def _names(context: typer.Context) -> dict[str, str]:
    """Parameters by the names that people type."""
    parameters = [parameter for parameter in context.command.params if parameter.name not in ("config", None)]
    return {max(parameter.opts, key=len).lstrip("-").replace("-", "_"): str(parameter.name) for parameter in parameters}


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lorp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


_CALIBRATION, _EVALUATION, _GATE = CalibrationSpec(), EvaluationSpec(), GateSpec()
_WHAT, _HOW, _TEXT, _BUDGET, _WHERE = "What to remove", "How to choose", "Text", "Budget", "Where and how to run"

RemoveOption = Annotated[
    str,
    typer.Option(
        help="How many blocks to remove: a count (3) or a share of depth (0.1).",
        rich_help_panel=_WHAT,
        metavar="COUNT|SHARE",
    ),
]
MethodOption = Annotated[Method, typer.Option(help="The selector.", rich_help_panel=_HOW)]
ClusteringOption = Annotated[ClusteringKind, typer.Option(help="How LoRP clusters the blocks.", rich_help_panel=_HOW)]
CriterionOption = Annotated[Criterion, typer.Option(help="How LoRP orders a cluster's blocks.", rich_help_panel=_HOW)]
ClustersOption = Annotated[
    int | None, typer.Option(help="Number of clusters; follows from RLS unless given.", rich_help_panel=_HOW)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@app.command()
def recompress(
    source: Annotated[str, typer.Argument(help="A checkpoint folder (safetensors) or a GGUF file.")],
    remove: RemoveOption,
    method: MethodOption = "lorp",
    clustering: ClusteringOption = "spectral",
    criterion: CriterionOption = "similarity",
    clusters: ClustersOption = None,
    calibration: Annotated[
        str, typer.Option(help="Text to calibrate on: a UTF-8 file, or pydoc.", rich_help_panel=_TEXT)
    ] = _CALIBRATION.corpus,
    calibration_windows: Annotated[int, typer.Option(rich_help_panel=_TEXT)] = _CALIBRATION.num_windows,
    evaluation: Annotated[
        str,
        typer.Option(
            help="Text to measure perplexity on; the same file as for calibration is split between both.",
            rich_help_panel=_TEXT,
        ),
    ] = _EVALUATION.corpus,
    evaluation_windows: Annotated[
        int, typer.Option(help="At least 30, for the gate.", rich_help_panel=_TEXT)
    ] = _EVALUATION.num_windows,
    window_tokens: Annotated[
        int, typer.Option(help="Tokens a window.", rich_help_panel=_TEXT)
    ] = _EVALUATION.window_tokens,
    seed: Annotated[int, typer.Option(help="Chooses documents, windows and samples.", rich_help_panel=_TEXT)] = 0,
    max_perplexity_ratio: Annotated[
        float,
        typer.Option(
            help="Largest upper bound of pruned / dense perplexity that is approved.", rich_help_panel=_BUDGET
        ),
    ] = _GATE.max_perplexity_ratio,
    max_perplexity: Annotated[
        float | None, typer.Option(help="Largest upper bound of the pruned perplexity itself.", rich_help_panel=_BUDGET)
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Of the one-sided upper bounds.", rich_help_panel=_BUDGET)
    ] = _GATE.confidence,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...", rich_help_panel=_WHERE)] = "cpu",
    dtype: Annotated[DType, typer.Option(help="Precision of forward passes.", rich_help_panel=_WHERE)] = "float32",
    weights_dtype: Annotated[
        DType, typer.Option(help="What a GGUF file is dequantised to.", rich_help_panel=_WHERE)
    ] = "float32",
    name: Annotated[
        str | None,
        typer.Option(help="Registered model's name; from the source's unless given.", rich_help_panel=_WHERE),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Folder of the object store; $LORP_HOME/store unless given.", rich_help_panel=_WHERE),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow's tracking URI; $MLFLOW_TRACKING_URI, or SQLite under $LORP_HOME, unless given.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with any of these options, a line each; flags win.", callback=_config, is_eager=True
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Remove blocks from a checkpoint, measure what it costs, and register the variant if the gate approves.

    Finished stages are kept in the store and reused: change a budget, and only the gate runs again.

    Exit status: 0 approved, 3 rejected, 2 bad input, 1 a fault.

    Example: `lorp recompress ./SmolLM2-135M --remove 3 --max-perplexity-ratio 1.5`
    """
    spec = make(
        RecompressSpec,
        source=source,
        name=name,
        weights_dtype=weights_dtype,
        calibration=make(
            CalibrationSpec, corpus=calibration, num_windows=calibration_windows, window_tokens=window_tokens, seed=seed
        ),
        pruning=make(
            PruningSpec,
            remove=parse_remove(remove),
            method=method,
            clustering=clustering,
            criterion=criterion,
            num_clusters=clusters,
        ),
        evaluation=make(
            EvaluationSpec, corpus=evaluation, num_windows=evaluation_windows, window_tokens=window_tokens, seed=seed
        ),
        gate=make(
            GateSpec, max_perplexity_ratio=max_perplexity_ratio, max_perplexity=max_perplexity, confidence=confidence
        ),
        compute=make(ComputeSpec, device=device, dtype=dtype),
    )
    from flows.command import recompress_all

    return recompress_all([spec], store, tracking_uri, as_json)


@app.command()
def plan(
    similarity: Annotated[Path, typer.Option(help="An .npy file: the N x N similarity of block inputs.")],
    remove: Annotated[str, typer.Option(help="Counts or shares of depth, with commas: 1,3,5.", metavar="COUNTS")],
    method: Annotated[str, typer.Option(help="Selectors, with commas: lorp, shortgpt, streamline.")] = "lorp",
    clustering: ClusteringOption = "spectral",
    criterion: CriterionOption = "similarity",
    clusters: ClustersOption = None,
    as_json: JsonOption = False,
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
    store: Annotated[
        str | None, typer.Option(help="Folder of the object store; $LORP_HOME/store unless given.")
    ] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow's tracking URI.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Recompress SmolLM2-135M-Instruct, which comes with a package, at two counts under one budget."""
    from flows.command import recompress_all
    from flows.demo import demo_specs

    recompress_all(demo_specs(), store, tracking_uri, as_json)
    return 0
