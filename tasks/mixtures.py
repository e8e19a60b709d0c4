"""Mixtures of corpora, tried and compared as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.corpus.mixtures import Mixture
from lorp.healing.patch import Patch
from lorp.plan import PruningPlan
from lorp.search.mixtures import MixtureTrial, compare, ratio_with_bounds
from lorp.similarity import Similarity
from lorp.values import decode, encode
from tasks.frontier import Candidate, Losses
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class TriedMixture:
    """A mixture, and what came of it.

    Attributes:
        mixture: Numbers of its corpora, from 1.
        similarity: Of block boundaries, on its text, if there is enough of it.
        candidate: Its plan as it would ship, if it has one.
        losses: The candidate's, on held-out windows.
        refused: Why it has none.
    """

    mixture: Mixture
    similarity: Reference | None = None
    candidate: Candidate | None = None
    losses: Reference | None = None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompareMixtures(Request):
    """Which mixture's plan costs least.

    Attributes:
        dense: The dense model's losses on the held-out windows.
        tried: All mixtures.
        count: Blocks that their plans remove.
    """

    STAGE: ClassVar[str] = "mixtures"
    VERSION: ClassVar[int] = 2
    dense: Reference
    tried: tuple[TriedMixture, ...]
    count: int

    def inputs(self) -> Mapping[str, Any]:
        """Digests of all that was found out, and the count."""
        return {
            "dense": self.dense.sha256,
            "count": self.count,
            "tried": [
                {
                    "mixture": list(tried.mixture),
                    "similarity": tried.similarity.sha256 if tried.similarity else None,
                    "plan": tried.candidate.plan.sha256 if tried.candidate else None,
                    "patch": tried.candidate.patch.sha256 if tried.candidate and tried.candidate.patch else None,
                    "losses": tried.losses.sha256 if tried.losses else None,
                    "refused": tried.refused,
                }
                for tried in self.tried
            ],
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Compares."""
        dense = decode(Losses, vault.read(self.dense))
        comparison = compare([_trial(vault, tried, dense) for tried in self.tried], self.count, len(dense.losses))
        return {"mixtures": vault.put("values", encode(comparison), ".json")}


def _trial(vault: Vault, tried: TriedMixture, dense: Losses) -> MixtureTrial:
    similarity = decode(Similarity, vault.read(tried.similarity)) if tried.similarity else None
    known: dict[str, Any] = {name: getattr(similarity, name, None) for name in ("rls", "rls_low", "rls_high")}
    if tried.candidate is None or tried.losses is None:
        return MixtureTrial(mixture=tried.mixture, refused=tried.refused, **known)
    candidate, losses = tried.candidate, decode(Losses, vault.read(tried.losses))
    ratio, lower, upper = ratio_with_bounds(dense.losses, losses.losses)
    return MixtureTrial(
        mixture=tried.mixture,
        removed=decode(PruningPlan, vault.read(candidate.plan)).removed,
        healing=decode(Patch, vault.read(candidate.patch)).method if candidate.patch else "none",
        ratio=ratio,
        lower=lower,
        upper=upper,
        **known,
    )
