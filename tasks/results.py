"""What one run made: references to everything, and the small values read from the store once."""

from dataclasses import dataclass

from lorp.clustering import Clustering
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.gate import Verdict
from lorp.plan import PruningPlan
from lorp.similarity import Similarity
from lorp.values import decode
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """What the stages of one run made."""

    checkpoint: Reference
    similarity: Reference
    clustering: Reference
    plan: Reference
    variant: Reference
    dense: Reference
    pruned: Reference
    verdict: Reference

    def digests(self) -> dict[str, str]:
        """sha256 by role."""
        return {role: reference.sha256 for role, reference in self.by_role().items()}

    def by_role(self) -> dict[str, Reference]:
        """The references by role, in the order they were made."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class RunValues:
    """The values behind the references of one run."""

    similarity: Similarity
    clustering: Clustering
    plan: PruningPlan
    dense: PerplexityEvaluation
    pruned: PerplexityEvaluation
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
        dense=decode(PerplexityEvaluation, vault.read(results.dense)),
        pruned=decode(PerplexityEvaluation, vault.read(results.pruned)),
        verdict=decode(Verdict, vault.read(results.verdict)),
    )
