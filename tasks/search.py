"""Similarity, clusters and what plans cost -> a plan, or how deep plans may get; no plan is tried twice."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedModel

from lorp.checkpoint import open_checkpoint
from lorp.clustering import Clustering
from lorp.corpus.uses import ConfirmWindows, ScoreWindows, SearchWindows
from lorp.healing.repair import can_mend
from lorp.models import device_kind
from lorp.plan import PruningPlan, Stack, of_stack
from lorp.search.recorded import RecordedTrials, TriedPlans
from lorp.search.trials import MEND_RIDGE, ModelTrials
from lorp.selection import Grounds, make_plan
from lorp.selection.greedy import deepest_within
from lorp.similarity import Similarity
from lorp.spec import ComputeSpec, PruningSpec
from lorp.stability import stability_of_trials
from lorp.values import decode, encode
from tasks.models import shared_model
from tasks.stage import Outputs, Request
from tasks.trials import StoredTrials
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class _Searching(Request):
    """A stage that asks what plans cost.

    Attributes:
        checkpoint: The dense model.
        similarity: Of its blocks.
        clustering: Of its blocks.
        windows: On which plans are compared.
        mended: Whether as mended, where the blocks allow it.
        max_swaps: Plans that a local search tries at most.
        seed: Of whatever is drawn.
        compute_spec: Where and how the model runs.
        stack: Whose blocks, where there are several; None for the stack that continues a text.
    """

    checkpoint: Reference
    similarity: Reference
    clustering: Reference
    windows: Reference
    mended: bool
    max_swaps: int
    seed: int
    compute_spec: ComputeSpec
    stack: Stack | None = None

    def inputs(self) -> Mapping[str, Any]:
        """Digests of all that is looked at, how plans are compared, dtype and kind of device."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "similarity": self.similarity.sha256,
            "clustering": self.clustering.sha256,
            "windows": self.windows.sha256,
            "mend_ridge": MEND_RIDGE if self.mended else None,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
            **of_stack(self.stack),
        }

    @contextmanager
    def grounds(self, vault: Vault) -> Iterator[Grounds]:
        """What selectors go by; the model is loaded once a plan is asked for that was never tried."""
        checkpoint = open_checkpoint(vault.folder(self.checkpoint), self.stack)
        windows = decode(SearchWindows, vault.read(self.windows))
        with ExitStack() as stack:

            @cache
            def model() -> PreTrainedModel:
                return stack.enter_context(shared_model(checkpoint.folder, self.compute_spec))

            def trials(judged: ScoreWindows | ConfirmWindows) -> StoredTrials:
                known = {
                    "checkpoint": self.checkpoint.sha256,
                    "windows": self.windows.sha256,
                    "on": "score" if isinstance(judged, ScoreWindows) else "confirm",
                    "dtype": self.compute_spec.dtype,
                    "device": device_kind(self.compute_spec.device),
                    **of_stack(self.stack),
                }
                return StoredTrials(vault, known, lambda: ModelTrials(model(), checkpoint, windows.mend, judged))

            yield Grounds(
                similarity=decode(Similarity, vault.read(self.similarity)).block_inputs,
                clustering=decode(Clustering, vault.read(self.clustering)),
                trials=trials(windows.score),
                confirming=trials(windows.confirm),
                mended=self.mended and can_mend(checkpoint),
                max_swaps=self.max_swaps,
                seed=self.seed,
            )


@dataclass(frozen=True, kw_only=True)
class Search(_Searching):
    """The plan of selectors that ask what plans cost.

    Attributes:
        spec: How blocks are chosen.
        count: Blocks to remove.
        by_corpus: Whether the windows are of several corpora.
    """

    STAGE: ClassVar[str] = "search"
    VERSION: ClassVar[int] = 3
    spec: PruningSpec
    count: int
    by_corpus: bool = False

    def inputs(self) -> Mapping[str, Any]:
        """Count, methods and criterion too, and how long and from which seed is searched."""
        return {
            **super().inputs(),
            "count": self.count,
            "method": list(self.spec.method),
            "criterion": self.spec.criterion,
            "max_swaps": self.max_swaps,
            "seed": self.seed,
            "by_corpus": self.by_corpus,
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Searches."""
        with self.grounds(vault) as grounds:
            plan, tried = make_plan(grounds, self.count, self.spec), _tried(grounds)
        return self.found(vault, plan, tried)

    def found(self, vault: Vault, plan: PruningPlan, tried: TriedPlans) -> Outputs:
        """Stores a plan, how sure it is, and the trials that led to it."""
        windows = decode(SearchWindows, vault.read(self.windows)).score.windows
        losses = RecordedTrials(tried.score).of_count(self.count, tried.mended and self.spec.method != ("greedy",))
        documents = [window.document for window in windows]
        stability = stability_of_trials(losses, documents, plan.num_blocks, self.seed, self.by_corpus)
        return {
            "plan": vault.put("values", encode(plan), ".json"),
            "stability": vault.put("values", encode(stability), ".json"),
            "trials": vault.put("values", encode(tried), ".json"),
        }


@dataclass(frozen=True)
class Depth:
    """A number of blocks."""

    count: int


@dataclass(frozen=True, kw_only=True)
class GuessDepth(_Searching):
    """A first guess at how many blocks a budget allows: as many as a greedy search takes on few windows."""

    STAGE: ClassVar[str] = "guess"
    VERSION: ClassVar[int] = 2
    max_perplexity_ratio: float
    max_perplexity: float | None

    def inputs(self) -> Mapping[str, Any]:
        """The budgets too."""
        budgets = {"max_perplexity_ratio": self.max_perplexity_ratio, "max_perplexity": self.max_perplexity}
        return {**super().inputs(), **budgets}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Removes blocks until it is too many."""
        with self.grounds(vault) as grounds:
            depth, tried = self.depth(grounds), _tried(grounds)
        return {
            "depth": vault.put("values", encode(depth), ".json"),
            "trials": vault.put("values", encode(tried), ".json"),
        }

    def depth(self, grounds: Grounds) -> Depth:
        """As deep as trials say."""
        return Depth(deepest_within(grounds, self.max_perplexity_ratio, self.max_perplexity))


def _tried(grounds: Grounds) -> TriedPlans:
    assert isinstance(grounds.trials, StoredTrials)
    assert isinstance(grounds.confirming, StoredTrials)
    return TriedPlans(mended=grounds.mended, score=grounds.trials.tried(), confirm=grounds.confirming.tried())
