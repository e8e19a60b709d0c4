"""What a person asks for, as frozen values that know no other fields.

Nothing here says where things are kept or how fast they are computed: these values, with the digests of what they
are applied to, identify a result.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lorp.corpus.presets import with_presets
from lorp.plan import Stack

EMBEDDED_CORPUS = "pydoc"
EMBEDDED_TASK = "continuation"

#: What a registered model may be called.
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

Method = Literal["lorp", "shortgpt", "streamline", "greedy", "auto"]
#: The selectors that ask what plans cost on windows.
BY_LOSS: frozenset[Method] = frozenset({"greedy", "auto"})
ClusteringKind = Literal["spectral", "agglomerative"]
Criterion = Literal["similarity", "residual-variance"]
Packing = Literal["long", "packed"]
CaptureMode = Literal["memory", "streamed"]
MixtureChoice = Literal["all", "auto"]
HealingMethod = Literal["none", "linear", "refit", "magnitude", "auto"]
DType = Literal["float32", "bfloat16", "float16"]
Count = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)]


def _names_in(value: Any) -> Any:
    """Names as they are, or those in a text with commas."""
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each name where it stands first."""
    return tuple(dict.fromkeys(names))


Corpora = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), AfterValidator(_once)]
Methods = Annotated[tuple[Method, ...], Field(min_length=1), BeforeValidator(_names_in)]


class Spec(BaseModel):
    """Something that a person asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CalibrationSpec(Spec):
    """The windows from which similarity is captured.

    Attributes:
        corpora: Addresses of text, as `lorp.corpus.address` says; `pydoc` is the Python standard library's topics. A
            preset (`lorp.corpus.presets`) is replaced by what it stands for, with its number and length of windows
            unless these are given.
        mixture: Of several corpora, `all` together, windows from each in turn; or `auto`, the best of all together and
            of each alone: that whose plan costs least on held-out windows of the evaluation text.
        packing: Whether a window is cut from one document that is long enough, or from several packed together.
        num_windows: Windows to capture.
        window_tokens: Tokens a window.
        sampled_tokens: Tokens a window whose hidden states are kept.
        seed: Chooses documents, windows and sampled tokens.
    """

    corpora: Corpora = (EMBEDDED_CORPUS,)
    mixture: MixtureChoice = "all"
    packing: Packing = "long"
    num_windows: int = Field(32, ge=1)
    window_tokens: int = Field(256, ge=2)
    sampled_tokens: int = Field(8, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _presets(cls, values: Any) -> Any:
        return with_presets(values, "calibration")


class PruningSpec(Spec):
    """How many blocks to remove, and how to choose them.

    Attributes:
        remove: A count (int), a share of depth between 0 and 1 (float), or as many as the budgets allow.
        method: The selectors, as a tuple or as text with commas; of several, the one whose plan costs least. `auto` is
            all of them, and a search from the best.
        clustering: How LoRP clusters the blocks.
        criterion: How LoRP orders the blocks of a cluster.
        num_clusters: Overrides the number that follows from RLS.
        stack: Which stack of an encoder-decoder, or `vision`; None for the stack that continues a text.
    """

    remove: Count | Literal["auto"] = "auto"
    method: Methods = ("auto",)
    clustering: ClusteringKind = "spectral"
    criterion: Criterion = "similarity"
    num_clusters: int | None = Field(None, ge=1)
    stack: Stack | None = None

    @property
    def asks_trials(self) -> bool:
        """Whether plans are chosen by what they cost on windows."""
        return len(self.method) > 1 or not BY_LOSS.isdisjoint(self.method)


class SearchSpec(Spec):
    """The windows on which plans are compared: of the calibration text, but none that was captured.

    Attributes:
        num_mend_windows: On which plans are mended for as long as they are compared.
        num_score_windows: On which they compete.
        num_confirm_windows: On which the few best are compared once more.
        max_swaps: Plans to try, at most, to better the best one found.
        num_frontier_windows: Windows of the evaluation text, none of them the gate's, on which it is found how many
            blocks the budgets allow; a third of them where the text gives no more.
        num_mixture_windows: Windows of the evaluation text, none of them used otherwise, on which mixtures of corpora
            are compared where the best one is asked for.
    """

    num_mend_windows: int = Field(24, ge=1)
    num_score_windows: int = Field(16, ge=1)
    num_confirm_windows: int = Field(24, ge=1)
    max_swaps: int = Field(60, ge=0)
    num_frontier_windows: int = Field(64, ge=32)
    num_mixture_windows: int = Field(32, ge=8)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Windows of each kind."""
        return self.num_mend_windows, self.num_score_windows, self.num_confirm_windows


class HealingSpec(Spec):
    """How kept blocks are refitted once others are gone, in closed form and without training.

    Attributes:
        method: `linear` changes the MLP before each gap, `refit` every linear map from the first gap on, `magnitude`
            scales what blocks after a gap write; `auto` takes what costs least.
        num_windows: Windows to fit on: of the calibration text, but none that was captured; a third of them where the
            text gives no more.
        num_ridge_windows: Further ones, on which it is chosen how strongly each fit is held back.
    """

    method: HealingMethod = "auto"
    num_windows: int = Field(96, ge=1)
    num_ridge_windows: int = Field(16, ge=1)

    @property
    def sizes(self) -> tuple[int, int]:
        """Windows of each kind."""
        return self.num_windows, self.num_ridge_windows


class EvaluationSpec(Spec):
    """The windows on which perplexity is measured; never those of calibration."""

    corpora: Corpora = (EMBEDDED_CORPUS,)
    packing: Packing = "long"
    num_windows: int = Field(64, ge=1)
    window_tokens: int = Field(256, ge=2)
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _presets(cls, values: Any) -> Any:
        return with_presets(values, "evaluation")


class DownstreamSpec(Spec):
    """Multiple-choice tasks on which accuracy is measured.

    Attributes:
        tasks: Names of lm-eval's tasks, paths of local task files, or `continuation`, which is made of the evaluation
            text; empty where none is to be measured.
        num_fewshot: Solved examples before each question; `continuation` has none.
        limit: Most items a task, the first ones; 0 for all of them.
        seed: Chooses few-shot examples, and the items of `continuation`.
    """

    tasks: tuple[str, ...] = (EMBEDDED_TASK,)
    num_fewshot: int = Field(0, ge=0)
    limit: int = Field(100, ge=0)
    seed: int = Field(0, ge=0, lt=2**32)

    @property
    def max_items(self) -> int | None:
        """Most items a task; None for all of them."""
        return self.limit or None


class GenerationSpec(Spec):
    """Greedy continuations of held-out prompts.

    Attributes:
        num_prompts: Prompts, each the beginning of an evaluation window; 0 where nothing is to be generated.
        prompt_tokens: Tokens a prompt.
        max_new_tokens: Tokens after which a continuation is cut off.
    """

    num_prompts: int = Field(32, ge=0)
    prompt_tokens: int = Field(32, ge=1)
    max_new_tokens: int = Field(64, ge=4)


class SpeedSpec(Spec):
    """Time and memory of dense model and variant, measured in turn.

    Attributes:
        repeats: Measurements of each; 0 where nothing is to be timed.
        prefill_tokens: Tokens of the prompt that is timed.
        decode_tokens: Tokens that are then decoded one by one.
    """

    repeats: int = Field(11, ge=0)
    prefill_tokens: int = Field(128, ge=1)
    decode_tokens: int = Field(8, ge=1)


class GateSpec(Spec):
    """The budgets that a variant must keep; those that are not given are not judged.

    Attributes:
        max_perplexity_ratio: Largest allowed upper bound of pruned / dense perplexity.
        max_perplexity: Largest allowed upper bound of the pruned perplexity.
        max_accuracy_drop: Largest allowed upper bound of dense - pruned accuracy, mean over tasks; 0.02 is 2 points.
        max_repetition_increase: Largest allowed upper bound of pruned - dense 4-gram repetition rate.
        min_speedup: Smallest allowed lower bound of dense / pruned time, of prefill and of decoding.
        max_memory_ratio: Largest allowed pruned / dense memory: weights, and the KV cache of what was timed.
        confidence: Of the one-sided bounds.
    """

    max_perplexity_ratio: float = Field(1.5, gt=0, allow_inf_nan=False)
    max_perplexity: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_accuracy_drop: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    max_repetition_increase: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    min_speedup: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_memory_ratio: float | None = Field(None, gt=0, allow_inf_nan=False)
    confidence: float = Field(0.95, gt=0.5, lt=1)

    def budgets(self) -> dict[str, float]:
        """What identifies the gate: the budgets that it has, so that a new kind of budget changes no old gate."""
        return self.model_dump(mode="json", exclude_none=True)


class ComputeSpec(Spec):
    """Where and in which precision forward passes run.

    Attributes:
        device: As torch names it.
        dtype: Precision of weights and states.
        capture_mode: Whether models are in memory as a whole, or a block at a time.
    """

    device: str = "cpu"
    dtype: DType = "float32"
    capture_mode: CaptureMode = "memory"


class Recipe(Spec):
    """How a checkpoint is recompressed, whichever it is.

    Attributes:
        weights_dtype: What a GGUF file is dequantised to; a checkpoint folder's weights stay as they are.
    """

    weights_dtype: DType = "float32"
    calibration: CalibrationSpec = CalibrationSpec()
    pruning: PruningSpec = PruningSpec()
    search: SearchSpec = SearchSpec()
    healing: HealingSpec = HealingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    tasks: DownstreamSpec = DownstreamSpec()
    generation: GenerationSpec = GenerationSpec()
    speed: SpeedSpec = SpeedSpec()
    gate: GateSpec = GateSpec()
    compute: ComputeSpec = ComputeSpec()

    @model_validator(mode="after")
    def _times_models_in_memory(self) -> Self:
        if self.compute.capture_mode == "streamed" and self.speed.repeats:
            raise ValueError("speed cannot be timed while weights are read from disk: give --speed-rounds 0")
        return self


class RecompressSpec(Recipe):
    """The whole job.

    Attributes:
        source: A checkpoint folder or a GGUF file, or an address as docs/sources.md lists them.
        sha256: Digest over the files that the source must have, as a watcher saw them; not checked unless given.
        name: The registered model's name; from the source's name unless given.
    """

    source: str = Field(min_length=1)
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    name: str | None = Field(None, pattern=MODEL_NAME)
