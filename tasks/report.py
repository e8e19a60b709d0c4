"""All values of a run -> its report page, stored beside them."""

from collections.abc import Sequence

from lorp.checkpoint import open_checkpoint
from lorp.names import source_name, without_paths
from lorp.report import ReportData, StageLine, StoredObject, render_report
from lorp.spec import RecompressSpec
from tasks.results import RunResults, RunValues
from tasks.vault import Manifest, Reference, Vault


def make_report(
    vault: Vault,
    spec: RecompressSpec,
    name: str,
    results: RunResults,
    values: RunValues,
    stages: Sequence[Manifest],
) -> Reference:
    """Renders and stores the page: equal results give equal bytes, whenever they were made."""
    checkpoint = open_checkpoint(vault.folder(results.checkpoint))
    data = ReportData(
        source=source_name(spec.source),
        name=name,
        spec=without_paths(spec),
        num_blocks=checkpoint.num_blocks,
        similarity=values.similarity,
        clustering=values.clustering,
        plan=values.plan,
        stability=values.stability,
        patch=values.patch,
        mixtures=values.mixtures,
        frontier=values.frontier,
        evidence=values.evidence,
        verdict=values.verdict,
        dense_bytes=checkpoint.weight_bytes,
        variant_bytes=open_checkpoint(vault.folder(results.candidate.variant)).weight_bytes,
        objects=tuple(
            StoredObject(role=role, key=reference.key, sha256=reference.sha256, bytes=reference.bytes)
            for role, reference in results.by_role().items()
        ),
        stages=tuple(StageLine(stage=done.stage, key=done.key) for done in stages),
    )
    return vault.put("values", render_report(data).encode(), ".html")
