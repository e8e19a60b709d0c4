"""The ledger's word on a version -> the lineage record behind it, and whether all of that still holds."""

from collections.abc import Iterator
from dataclasses import dataclass

from lorp.errors import IntegrityError, SpecError
from lorp.gate import Verdict
from lorp.ledger import Change, Standing
from lorp.spec import ComputeSpec, RecompressSpec
from tasks.records import RunRecord, compute_here, read_record, read_verdict
from tasks.vault import Manifest, Reference, Vault


@dataclass(frozen=True, kw_only=True)
class LedgerVersion:
    """A version and the record of the run that made it.

    Attributes:
        change: Its registration in the ledger.
        run: The lineage record that this names.
        verdict: What the gate said.
    """

    change: Change
    run: RunRecord
    verdict: Verdict

    @property
    def spec(self) -> RecompressSpec:
        """What was asked."""
        return self.run.spec

    @property
    def variant(self) -> Reference:
        """Its files."""
        return self.run.variant

    @property
    def evaluated(self) -> tuple[Manifest, Manifest]:
        """The stages that measured perplexity, of the dense model and of the variant."""
        evaluations = self.run.chain.evaluations
        return evaluations["dense"], evaluations["pruned"]

    @property
    def compute_spec(self) -> ComputeSpec:
        """How it was measured; on the CPU where this machine has not the device."""
        return compute_here(self.spec.compute)


def read_version(vault: Vault, now: Standing, name: str, version: int) -> LedgerVersion:
    """A version of the ledger, with its record; both, and the list of its files, speak of the same variant.

    Raises:
        SpecError: The ledger has no such version.
        IntegrityError: Its record is gone, or is no such record.
    """
    change = now.versions.get(version)
    if change is None:
        known = ", ".join(map(str, now.versions)) or "none"
        raise SpecError(
            f"the ledger of {name} has no version {version}, but: {known}",
            "If it is in the registry, run its recompression again, which enters it",
        )
    run = read_record(vault, name, change.lineage)
    fault = entry_contradiction(change, run)
    if fault:
        raise IntegrityError(f"the lineage record of {name} {version} is broken: {fault}", "Recompress its source")
    return LedgerVersion(change=change, run=run, verdict=read_verdict(vault, run))


def entry_contradiction(change: Change, run: RunRecord) -> str | None:
    """What an entry and the record that it names do not agree on."""
    agree = {
        "it is another version's": run.record.model_version == change.version,
        "it was not rejected as the ledger says": run.record.approved == (change.act != "rejected"),
        "its verdict is another": run.record.verdict_id == change.verdict,
        "its variant is another": run.variant.sha256 == change.variant,
    }
    return next((fault for fault, fine in agree.items() if not fine), None)


def fault_of(vault: Vault, version: LedgerVersion) -> str | None:
    """What of all that a version rests on is not what its digest says; None if everything is."""
    return next(_faults(vault, version), None)


def _faults(vault: Vault, version: LedgerVersion) -> Iterator[str]:
    for manifest in version.run.manifests:
        stands = vault.result(manifest.key)
        if stands is None:
            yield f"the result of {manifest.key} is gone or has changed"
        elif (stands.inputs, stands.outputs) != (manifest.inputs, manifest.outputs):
            yield f"the result of {manifest.key} is not the one in its record"
