"""What every argument and option of the command line is called, takes and means."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.options import read_config
from lorp.plan import Stack
from lorp.spec import CaptureMode, ClusteringKind, Criterion, DType, HealingMethod, MixtureChoice, Packing

Stacks = Literal["encoder", "decoder", "both", "vision"]

_WHAT, _HOW, _TEXT, _MEASURED = "What to remove", "How to choose", "Text", "What else to measure"
_BUDGET, _WHERE = "Budget", "Where and how to run"


def _config(context: typer.Context, value: Path | None) -> Path | None:
    if value is not None:
        context.default_map = read_config(value, _names(context), _several(context))
    return value


def _names(context: typer.Context) -> dict[str, str]:
    """Parameters by the names that people type."""
    parameters = [parameter for parameter in context.command.params if parameter.name not in ("config", None)]
    return {max(parameter.opts, key=len).lstrip("-").replace("-", "_"): str(parameter.name) for parameter in parameters}


def _several(context: typer.Context) -> set[str]:
    """Names of the options that may be repeated."""
    names = {parameter: name for name, parameter in _names(context).items()}
    return {names[str(option.name)] for option in context.command.params if getattr(option, "multiple", False)}


Source = Annotated[
    str,
    typer.Argument(
        help="A checkpoint folder (safetensors) or GGUF file, hf://org/name@revision, s3://bucket/prefix, or "
        "mlflow:models:/name@alias."
    ),
]
Remove = Annotated[
    str,
    typer.Option(
        help="How many blocks to remove: as many as the budgets of perplexity allow (auto), a count (3), or a share of "
        "depth (0.1).",
        rich_help_panel=_WHAT,
        metavar="auto|COUNT|SHARE",
    ),
]
OfStack = Annotated[
    Stacks | None,
    typer.Option(
        "--stack",
        help="Of an encoder-decoder, which stack to remove blocks from; both: from the decoder, then from the encoder "
        "of what that gives, within what is left of the budget. Of a model that sees, vision; its text stack unless "
        "given.",
        rich_help_panel=_WHAT,
    ),
]
OneStack = Annotated[
    Stack | None,
    typer.Option(
        "--stack",
        help="Which stack to remove blocks from: of an encoder-decoder, encoder or decoder; of a model that sees, "
        "vision, or its text stack unless given.",
        rich_help_panel=_WHAT,
    ),
]
Heal = Annotated[
    HealingMethod,
    typer.Option(
        help="Change the blocks that stay, in closed form: the MLP before each gap (linear), every linear map from the "
        "first gap on (refit), the size of what is written after gaps (magnitude), or what of all this costs least "
        "(auto).",
        rich_help_panel=_HOW,
    ),
]
HealWindows = Annotated[
    int,
    typer.Option(help="Windows of calibration text to heal on, which nothing else sees.", rich_help_panel=_TEXT),
]
SearchWindows = Annotated[
    int,
    typer.Option(
        help="Windows of calibration text on which plans compete; still others mend them meanwhile, and confirm the "
        "best.",
        rich_help_panel=_TEXT,
    ),
]
FrontierWindows = Annotated[
    int,
    typer.Option(
        help="Windows of evaluation text, none of them the gate's, on which --remove auto finds how deep to cut; at "
        "least 32.",
        rich_help_panel=_TEXT,
    ),
]
SearchSwaps = Annotated[
    int,
    typer.Option(help="Plans to try, at most, to better the best one that selectors find.", rich_help_panel=_HOW),
]
SomeMethods = Annotated[
    str,
    typer.Option(
        help="The selectors, with commas: lorp, shortgpt, streamline, greedy (by loss); of several, the plan that "
        "costs least. auto: all of them, and a search from the best.",
        rich_help_panel=_HOW,
    ),
]
Clustering = Annotated[ClusteringKind, typer.Option(help="How LoRP clusters the blocks.", rich_help_panel=_HOW)]
ClusterCriterion = Annotated[Criterion, typer.Option(help="How LoRP orders a cluster's blocks.", rich_help_panel=_HOW)]
Clusters = Annotated[
    int | None, typer.Option(help="Number of clusters; follows from RLS unless given.", rich_help_panel=_HOW)
]
Calibration = Annotated[
    list[str],
    typer.Option(
        help="Text to calibrate on: a UTF-8 file, .jsonl, .parquet, a folder, hf://datasets/OWNER/NAME@REVISION, "
        "pydoc, or c4, wikitext2, ptb. May be repeated, or joined: a+b.",
        rich_help_panel=_TEXT,
        metavar="TEXT",
    ),
]
Pairs = Annotated[
    str | None,
    typer.Option(
        help="For an encoder-decoder or a model that sees, in place of --calibration and --evaluation: .jsonl, "
        ".parquet or a dataset on the hub whose rows are pairs; #SOURCE:TARGET names the columns, source and target "
        "unless given, and ,sound or ,image after it says that sources are sounds or images.",
        rich_help_panel=_TEXT,
        metavar="ROWS",
    ),
]
CalibrationMixture = Annotated[
    MixtureChoice,
    typer.Option(
        "--mixture",
        help="Of several calibration texts: all together, windows from each in turn; or (auto) the best of all together"
        " and each alone, by what its plan costs on held-out windows of the evaluation text.",
        rich_help_panel=_TEXT,
    ),
]
CalibrationWindows = Annotated[
    int | None,
    typer.Option(
        help="Windows to capture; 32 unless given, or 128 for c4, wikitext2, ptb.",
        rich_help_panel=_TEXT,
    ),
]
Evaluation = Annotated[
    list[str],
    typer.Option(
        help="Text to measure perplexity on; the same as for calibration is split between both. May be repeated.",
        rich_help_panel=_TEXT,
        metavar="TEXT",
    ),
]
EvaluationWindows = Annotated[
    int | None,
    typer.Option(
        help="Windows to measure on, at least 30, for the gate; 64 unless given, or 128, 64, 48 for c4, wikitext2, "
        "ptb.",
        rich_help_panel=_TEXT,
    ),
]
WindowTokens = Annotated[
    int | None,
    typer.Option(help="Tokens a window; 256 unless given, or 2048 for c4, wikitext2, ptb.", rich_help_panel=_TEXT),
]
Windows = Annotated[
    Packing,
    typer.Option(
        "--windows",
        help="Windows cut each from one document that is long enough, or from short ones packed together.",
        rich_help_panel=_TEXT,
    ),
]
Seed = Annotated[int, typer.Option(help="Chooses documents, windows and samples.", rich_help_panel=_TEXT)]
Tasks = Annotated[
    str,
    typer.Option(
        help="Multiple-choice tasks, with commas: names of lm-eval's, paths of local files, continuation; or none.",
        rich_help_panel=_MEASURED,
    ),
]
NumFewshot = Annotated[int, typer.Option(help="Solved examples before each question.", rich_help_panel=_MEASURED)]
Limit = Annotated[int, typer.Option(help="Most items a task; 0 for all.", rich_help_panel=_MEASURED)]
GenerationPrompts = Annotated[
    int, typer.Option(help="Evaluation windows whose beginnings are continued; 0 for none.", rich_help_panel=_MEASURED)
]
GenerationTokens = Annotated[
    int, typer.Option(help="Tokens after which a continuation is cut off.", rich_help_panel=_MEASURED)
]
SpeedRounds = Annotated[
    int, typer.Option(help="Times that dense model and variant are timed; 0 for none.", rich_help_panel=_MEASURED)
]
SpeedTokens = Annotated[int, typer.Option(help="Tokens of the timed prompt.", rich_help_panel=_MEASURED)]
MaxPerplexityRatio = Annotated[
    float,
    typer.Option(help="Largest upper bound of pruned / dense perplexity that is approved.", rich_help_panel=_BUDGET),
]
MaxPerplexity = Annotated[
    float | None, typer.Option(help="Largest upper bound of the pruned perplexity itself.", rich_help_panel=_BUDGET)
]
MaxAccuracyDrop = Annotated[
    float | None,
    typer.Option(help="Largest upper bound of dense - pruned accuracy; 0.02 is 2 points.", rich_help_panel=_BUDGET),
]
MaxRepetitionIncrease = Annotated[
    float | None,
    typer.Option(help="Largest upper bound of pruned - dense 4-gram repetition rate.", rich_help_panel=_BUDGET),
]
MinSpeedup = Annotated[
    float | None,
    typer.Option(help="Smallest lower bound of dense / pruned time, prefill and decoding.", rich_help_panel=_BUDGET),
]
MaxMemoryRatio = Annotated[
    float | None,
    typer.Option(help="Largest pruned / dense memory: weights and KV cache.", rich_help_panel=_BUDGET),
]
Confidence = Annotated[float, typer.Option(help="Of the one-sided bounds.", rich_help_panel=_BUDGET)]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 ...; $LORP_DEVICE or cpu unless given.", rich_help_panel=_WHERE)
]
ComputeDType = Annotated[
    DType | None,
    typer.Option(help="Precision of forward passes; $LORP_DTYPE or float32 unless given.", rich_help_panel=_WHERE),
]
ModelsInMemory = Annotated[
    CaptureMode,
    typer.Option(
        help="Whether models are in memory as a whole, or streamed: a block at a time, read from disk.",
        rich_help_panel=_WHERE,
    ),
]
WeightsDType = Annotated[DType, typer.Option(help="What a GGUF file is dequantised to.", rich_help_panel=_WHERE)]
Name = Annotated[
    str | None, typer.Option(help="Registered model's name; from the source's unless given.", rich_help_panel=_WHERE)
]
Store = Annotated[
    str | None,
    typer.Option(
        help="The object store: a folder, or s3://bucket/prefix; $LORP_STORE, or $LORP_HOME/store, unless given.",
        rich_help_panel=_WHERE,
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="MLflow's tracking URI; $MLFLOW_TRACKING_URI, or SQLite under $LORP_HOME, unless given.",
        rich_help_panel=_WHERE,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="A YAML file with any of these options, a line each; flags win.", callback=_config, is_eager=True
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
SimilarityFile = Annotated[Path, typer.Option(help="An .npy file: the N x N similarity of block inputs.")]
Counts = Annotated[str, typer.Option(help="Counts or shares of depth, with commas: 1,3,5.", metavar="COUNTS")]
Methods = Annotated[str, typer.Option(help="Selectors, with commas: lorp, shortgpt, streamline.")]
