"""Everything about a run -> its lineage record, stored once a registered verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.gate import Verdict
from lorp.lineage import SCHEMA, LineageRecord
from lorp.names import without_paths
from lorp.spec import RecompressSpec
from lorp.values import decode, encode
from tasks.registry import Registered
from tasks.stage import Outputs, Request
from tasks.vault import Manifest, Reference, Vault
from tasks.versions import installed_packages


@dataclass(frozen=True, kw_only=True)
class Lineage(Request):
    """The lineage record."""

    STAGE: ClassVar[str] = "register"
    VERSION: ClassVar[int] = 1
    spec: RecompressSpec
    name: str
    stages: tuple[Manifest, ...]
    verdict: Reference
    report: Reference
    registered: Registered
    flow_run: str

    def inputs(self) -> Mapping[str, Any]:
        """Digest of the verdict, and what the registry made of it: one record a registered verdict."""
        return {
            "verdict": self.verdict.sha256,
            "name": self.name,
            "tracking_run": self.registered.run_id,
            "model_version": self.registered.model_version,
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Writes the record."""
        verdict = decode(Verdict, vault.read(self.verdict))
        record = LineageRecord(
            schema=SCHEMA,
            spec=without_paths(self.spec).model_dump(mode="json"),
            stages=tuple(asdict(manifest) for manifest in self.stages),
            verdict=asdict(verdict),
            verdict_id=verdict.id,
            packages=installed_packages(),
            flow_run=self.flow_run,
            tracking_run=self.registered.run_id,
            model_name=self.name,
            model_version=self.registered.model_version,
        )
        return {"lineage": vault.put("values", encode(record), ".json"), "report": self.report}
