"""What one run made: references to everything, and the small values read from the store once."""

from dataclasses import dataclass

from lorp.clustering import Clustering
from lorp.gate import Evidence, Verdict
from lorp.healing.patch import Patch
from lorp.plan import PruningPlan
from lorp.similarity import Similarity
from lorp.values import decode
from tasks.evidence import read_evidence
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """What the stages of one run made.

    Attributes:
        checkpoint: The dense model.
        calibration: Windows.
        healing: Windows, if there are any.
        evaluation: Windows.
        similarity: Of block boundaries.
        clustering: Of blocks.
        plan: Which blocks are removed.
        patch: How it was healed, if it was.
        weights: The new weights, if it was.
        variant: The pruned model.
        questions: Of the tasks, if there are any.
        evaluations: By role, as in `tasks.evidence`.
        verdict: What the gate said.
    """

    checkpoint: Reference
    calibration: Reference
    healing: Reference | None
    evaluation: Reference
    similarity: Reference
    clustering: Reference
    plan: Reference
    patch: Reference | None
    weights: Reference | None
    variant: Reference
    questions: Reference | None
    evaluations: dict[str, Reference]
    verdict: Reference

    def digests(self) -> dict[str, str]:
        """sha256 by role."""
        return {role: reference.sha256 for role, reference in self.by_role().items()}

    def by_role(self) -> dict[str, Reference]:
        """The references by role, in the order they were made."""
        own = {role: reference for role, reference in vars(self).items() if isinstance(reference, Reference)}
        verdict = own.pop("verdict")
        return {**own, **self.evaluations, "verdict": verdict}


@dataclass(frozen=True, kw_only=True)
class RunValues:
    """The values behind the references of one run."""

    similarity: Similarity
    clustering: Clustering
    plan: PruningPlan
    patch: Patch | None
    evidence: Evidence
    verdict: Verdict


def read_values(vault: Vault, results: RunResults) -> RunValues:
    """Reads a run's values, each verified.

    Raises:
        IntegrityError: One is gone or has changed.
    """
    return RunValues(
        similarity=decode(Similarity, vault.read(results.similarity)),
        clustering=decode(Clustering, vault.read(results.clustering)),
        plan=decode(PruningPlan, vault.read(results.plan)),
        patch=decode(Patch, vault.read(results.patch)) if results.patch else None,
        evidence=read_evidence(vault, results.evaluations),
        verdict=decode(Verdict, vault.read(results.verdict)),
    )
