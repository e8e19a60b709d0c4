"""What a person asks for, as frozen values that know no other fields.

Nothing here says where things are kept or how fast they are computed: these values, with the digests of what they
are applied to, identify a result.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lorp.errors import CountError

EMBEDDED_CORPUS = "pydoc"

Method = Literal["lorp", "shortgpt", "streamline"]
ClusteringKind = Literal["spectral", "agglomerative"]
Criterion = Literal["similarity", "residual-variance"]
DType = Literal["float32", "bfloat16", "float16"]
Count = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalibrationSpec(_Spec):
    """The windows from which similarity is captured.

    Attributes:
        corpus: `pydoc` (the Python standard library's topics) or the path of a text file.
        num_windows: Windows to capture.
        window_tokens: Tokens a window.
        sampled_tokens: Tokens a window whose hidden states are kept.
        seed: Chooses documents, windows and sampled tokens.
    """

    corpus: str = EMBEDDED_CORPUS
    num_windows: int = Field(32, ge=1)
    window_tokens: int = Field(256, ge=2)
    sampled_tokens: int = Field(8, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)


class PruningSpec(_Spec):
    """How many blocks to remove, and how to choose them.

    Attributes:
        remove: A count (int), or a share of depth between 0 and 1 (float).
        method: The selector.
        clustering: How LoRP clusters the blocks.
        criterion: How LoRP orders the blocks of a cluster.
        num_clusters: Overrides the number that follows from RLS.
    """

    remove: Count
    method: Method = "lorp"
    clustering: ClusteringKind = "spectral"
    criterion: Criterion = "similarity"
    num_clusters: int | None = Field(None, ge=1)


class EvaluationSpec(_Spec):
    """The windows on which perplexity is measured; never those of calibration."""

    corpus: str = EMBEDDED_CORPUS
    num_windows: int = Field(64, ge=1)
    window_tokens: int = Field(256, ge=2)
    seed: int = Field(0, ge=0, lt=2**32)


class GateSpec(_Spec):
    """The budgets that a variant must keep.

    Attributes:
        max_perplexity_ratio: Largest allowed upper bound of pruned / dense perplexity.
        max_perplexity: Largest allowed upper bound of the pruned perplexity; none unless given.
        confidence: Of the one-sided upper bounds.
    """

    max_perplexity_ratio: float = Field(1.5, gt=0, allow_inf_nan=False)
    max_perplexity: float | None = Field(None, gt=0, allow_inf_nan=False)
    confidence: float = Field(0.95, gt=0.5, lt=1)


class ComputeSpec(_Spec):
    """Where and in which precision forward passes run."""

    device: str = "cpu"
    dtype: DType = "float32"


class RecompressSpec(_Spec):
    """The whole job.

    Attributes:
        source: A checkpoint folder or a GGUF file.
        name: The registered model's name; from the source's name unless given.
        weights_dtype: What a GGUF file is dequantised to; a checkpoint folder's weights stay as they are.
    """

    source: str = Field(min_length=1)
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    weights_dtype: DType = "float32"
    calibration: CalibrationSpec = CalibrationSpec()
    pruning: PruningSpec
    evaluation: EvaluationSpec = EvaluationSpec()
    gate: GateSpec = GateSpec()
    compute: ComputeSpec = ComputeSpec()


def source_name(source: str) -> str:
    """The last part of a source's path, also where that is given as `.`."""
    return Path(source).expanduser().absolute().name


def without_paths(spec: RecompressSpec) -> RecompressSpec:
    """The same spec with the last part of every path only: what is shown and recorded names no machine's folders."""
    return spec.model_copy(
        update={
            "source": source_name(spec.source),
            "calibration": spec.calibration.model_copy(update={"corpus": Path(spec.calibration.corpus).name}),
            "evaluation": spec.evaluation.model_copy(update={"corpus": Path(spec.evaluation.corpus).name}),
        }
    )


def resolve_count(remove: float, num_blocks: int) -> int:
    """Number of blocks that `remove` means for a model of `num_blocks`.

    A share of depth (float) is rounded to the nearest whole number of blocks, at least 1. The first and the last
    block always stay, so the largest count is `num_blocks - 2`.

    Raises:
        CountError: Zero, negative, not a share, or too many.
    """
    largest = num_blocks - 2
    remedy = f"Remove 1 to {largest} blocks, or a share of depth such as 0.1"
    if largest < 1:
        raise CountError(f"a model of {num_blocks} blocks has none to spare", "Choose a deeper one")
    if isinstance(remove, float):
        if not 0 < remove < 1:
            raise CountError(f"{remove:g} is no share of depth", f"{remedy}; a whole number of blocks has no point")
        remove = max(1, math.floor(remove * num_blocks + 0.5))
    if not 1 <= remove <= largest:
        raise CountError(f"{remove} of {num_blocks} blocks cannot be removed: the first and the last stay", remedy)
    return remove
