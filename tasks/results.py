"""What one run made: references to everything, and the small values read from the store once."""

from dataclasses import dataclass

from lorp.clustering import Clustering
from lorp.corpus.mixtures import Mixture
from lorp.gate import Evidence, Verdict
from lorp.healing.patch import Patch
from lorp.plan import PruningPlan
from lorp.search.frontier import Frontier
from lorp.search.mixtures import MixtureComparison
from lorp.similarity import Similarity
from lorp.stability import Stability
from lorp.values import decode
from tasks.evidence import read_evidence
from tasks.frontier import Candidate
from tasks.vault import Reference, Vault
from tasks.windows import WindowsUse

#: What windows are called beside what was found on them.
_ROLES = {"frontier": "frontier_windows", "mixture": "mixture_windows"}


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """What the stages of one run made.

    Attributes:
        checkpoint: The dense model.
        windows: By use.
        similarity: Of block boundaries.
        clustering: Of blocks.
        mixture: Numbers of the corpora that were calibrated on.
        mixtures: How mixtures of corpora compare, if the best was asked for.
        frontier: What was looked at to find how deep to cut, if that was left open.
        candidate: What is judged.
        questions: Of the tasks, if there are any.
        evaluations: By role, as in `tasks.evidence`.
        verdict: What the gate said.
    """

    checkpoint: Reference
    windows: dict[WindowsUse, Reference]
    similarity: Reference
    clustering: Reference
    mixture: Mixture
    mixtures: Reference | None
    frontier: Reference | None
    candidate: Candidate
    questions: Reference | None
    evaluations: dict[str, Reference]
    verdict: Reference

    def digests(self) -> dict[str, str]:
        """sha256 by role."""
        return {role: reference.sha256 for role, reference in self.by_role().items()}

    def by_role(self) -> dict[str, Reference]:
        """The references by role, in the order they were made."""
        windows = {_ROLES.get(use, use): cut for use, cut in self.windows.items()}
        candidate = self.candidate
        made = {
            "checkpoint": self.checkpoint,
            **windows,
            "similarity": self.similarity,
            "clustering": self.clustering,
            "mixtures": self.mixtures,
            "frontier": self.frontier,
            "plan": candidate.plan,
            "stability": candidate.stability,
            "patch": candidate.patch,
            "weights": candidate.weights,
            "variant": candidate.variant,
            "questions": self.questions,
            **self.evaluations,
            "verdict": self.verdict,
        }
        return {role: reference for role, reference in made.items() if reference}


@dataclass(frozen=True, kw_only=True)
class RunValues:
    """The values behind the references of one run."""

    similarity: Similarity
    clustering: Clustering
    plan: PruningPlan
    stability: Stability
    patch: Patch | None
    mixtures: MixtureComparison | None
    frontier: Frontier | None
    evidence: Evidence
    verdict: Verdict


def read_values(vault: Vault, results: RunResults) -> RunValues:
    """Reads a run's values, each verified.

    Raises:
        IntegrityError: One is gone or has changed.
    """
    candidate = results.candidate
    return RunValues(
        similarity=decode(Similarity, vault.read(results.similarity)),
        clustering=decode(Clustering, vault.read(results.clustering)),
        plan=decode(PruningPlan, vault.read(candidate.plan)),
        stability=decode(Stability, vault.read(candidate.stability)),
        patch=decode(Patch, vault.read(candidate.patch)) if candidate.patch else None,
        mixtures=decode(MixtureComparison, vault.read(results.mixtures)) if results.mixtures else None,
        frontier=decode(Frontier, vault.read(results.frontier)) if results.frontier else None,
        evidence=read_evidence(vault, results.evaluations),
        verdict=decode(Verdict, vault.read(results.verdict)),
    )
