"""Everything about a run -> its lineage record, stored once a registered verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from lorp.gate import Verdict
from lorp.lineage import LineageRecord
from lorp.names import source_name, without_paths
from lorp.plan import PruningPlan
from lorp.spec import RecompressSpec
from lorp.values import decode
from tasks import provenance
from tasks.chain import chain_of
from tasks.registry import Registered
from tasks.report import Pages
from tasks.results import RunResults
from tasks.stage import Outputs, Request
from tasks.vault import Manifest, Vault
from tasks.versions import installed_packages, software_versions


@dataclass(frozen=True, kw_only=True)
class Lineage(Request):
    """The lineage record."""

    STAGE: ClassVar[str] = "register"
    VERSION: ClassVar[int] = 2
    spec: RecompressSpec
    name: str
    results: RunResults
    stages: tuple[Manifest, ...]
    pages: Pages
    registered: Registered
    flow_run: str

    def inputs(self) -> Mapping[str, Any]:
        """Digest of the verdict, and what the registry made of it: one record a registered verdict."""
        return {
            "verdict": self.results.verdict.sha256,
            "name": self.name,
            "tracking_run": self.registered.run_id,
            "model_version": self.registered.model_version,
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Writes the record."""
        record = vault.put("values", self.record(vault).encode(), ".json")
        return {"lineage": record, "report": self.pages.report, "card": self.pages.card}

    def record(self, vault: Vault) -> LineageRecord:
        """Gathers everything."""
        spec, chain = without_paths(self.spec), chain_of(self.stages)
        verdict = decode(Verdict, vault.read(self.results.verdict))
        asked, source = spec.model_dump(mode="json"), source_name(self.spec.source)
        packages = provenance.installed_descriptors(installed_packages())
        return LineageRecord(
            subjects=provenance.subjects(chain.variant),
            model_name=self.name,
            source=source,
            spec=asked,
            seeds=provenance.seeds(asked),
            dtype=spec.compute.dtype,
            devices=provenance.devices(self.stages),
            approved=verdict.approved,
            verdict_id=verdict.id,
            kept_blocks=decode(PruningPlan, vault.read(self.results.candidate.plan)).kept,
            stages=tuple(asdict(manifest) for manifest in self.stages),
            dependencies=(*provenance.taken(chain, spec, source), *provenance.software(packages)),
            byproducts=(*provenance.made(chain), *provenance.pages(self.pages)),
            versions=software_versions(),
            packages=packages,
            flow_run=self.flow_run,
            tracking_run=self.registered.run_id,
            model_version=self.registered.model_version,
            started=min(map(_began, self.stages)).isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _began(manifest: Manifest) -> datetime:
    return datetime.fromisoformat(manifest.created) - timedelta(seconds=manifest.seconds)
