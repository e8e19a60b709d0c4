"""All values of a run -> its report page, stored beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorp.checkpoint import open_checkpoint
from lorp.clustering import Clustering
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.gate import Verdict
from lorp.plan import PruningPlan
from lorp.report import ReportData, StageLine, StoredObject, render_report
from lorp.similarity import Similarity
from lorp.spec import RecompressSpec, source_name, without_paths
from lorp.values import decode
from tasks.vault import Manifest, Reference, Vault


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


def make_report(
    vault: Vault, spec: RecompressSpec, name: str, results: RunResults, stages: Sequence[Manifest]
) -> Reference:
    """Renders and stores the page: equal results give equal bytes, whenever they were made."""
    checkpoint = open_checkpoint(vault.folder(results.checkpoint))
    data = ReportData(
        source=source_name(spec.source),
        name=name,
        spec=without_paths(spec),
        num_blocks=checkpoint.num_blocks,
        similarity=decode(Similarity, vault.read(results.similarity)),
        clustering=decode(Clustering, vault.read(results.clustering)),
        plan=decode(PruningPlan, vault.read(results.plan)),
        dense=decode(PerplexityEvaluation, vault.read(results.dense)),
        pruned=decode(PerplexityEvaluation, vault.read(results.pruned)),
        verdict=decode(Verdict, vault.read(results.verdict)),
        dense_bytes=checkpoint.weight_bytes,
        variant_bytes=open_checkpoint(vault.folder(results.variant)).weight_bytes,
        objects=tuple(
            StoredObject(role=role, key=reference.key, sha256=reference.sha256, bytes=reference.bytes)
            for role, reference in results.by_role().items()
        ),
        stages=tuple(StageLine(stage=done.stage, key=done.key) for done in stages),
    )
    return vault.put("values", render_report(data).encode(), ".html")
