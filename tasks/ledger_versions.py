"""The ledger's word on a version -> the lineage record behind it, and whether all of that still holds."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from lorp.errors import IntegrityError, SpecError
from lorp.gate import Verdict
from lorp.ledger import Change, Standing
from lorp.lineage import LineageRecord
from lorp.spec import ComputeSpec, RecompressSpec
from lorp.values import decode
from tasks.vault import Manifest, Reference, Vault


@dataclass(frozen=True, kw_only=True)
class LedgerVersion:
    """A version and the record of the run that made it.

    Attributes:
        change: Its registration in the ledger.
        record: The lineage record that this names.
        manifests: Of the run's stages, in their order.
    """

    change: Change
    record: LineageRecord
    manifests: tuple[Manifest, ...]

    @property
    def spec(self) -> RecompressSpec:
        """What was asked."""
        return RecompressSpec.model_validate(self.record.spec)

    @property
    def verdict(self) -> Verdict:
        """What the gate said."""
        found: Verdict = TypeAdapter(Verdict).validate_python(self.record.verdict)
        return found

    @property
    def variant(self) -> Reference:
        """Its files."""
        return self.output(self.change.variant)

    @property
    def evaluated(self) -> tuple[Manifest, Manifest]:
        """The stages that measured perplexity, of the dense model and of the variant.

        Raises:
            IntegrityError: The record does not hold them.
        """
        gate = next((each for each in self.manifests if each.stage == "gate"), None)
        judged = gate.inputs["evaluations"] if gate else {}
        stages = {each.outputs["evaluation"].sha256: each for each in self.manifests if each.stage == "evaluate"}
        try:
            return stages[judged["dense"]], stages[judged["pruned"]]
        except KeyError:
            raise self._incomplete("evaluations") from None

    @property
    def compute_spec(self) -> ComputeSpec:
        """How its perplexity was measured."""
        inputs = self.evaluated[1].inputs
        return ComputeSpec(device=inputs["device"], dtype=inputs["dtype"])

    def output(self, sha256: str) -> Reference:
        """Something that the run made.

        Raises:
            IntegrityError: It made no such thing.
        """
        for manifest in self.manifests:
            for reference in manifest.outputs.values():
                if reference.sha256 == sha256:
                    return reference
        raise self._incomplete(sha256)

    def _incomplete(self, what: str) -> IntegrityError:
        return IntegrityError(
            f"the lineage record of {self.record.model_name} {self.change.version} holds no {what}",
            "Recompress its source again",
        )


def read_version(vault: Vault, now: Standing, name: str, version: int) -> LedgerVersion:
    """A version of the ledger, with its record.

    Raises:
        SpecError: The ledger has no such version.
        IntegrityError: Its record is gone, or no such record.
    """
    change = now.versions.get(version)
    if change is None:
        known = ", ".join(map(str, now.versions)) or "none"
        raise SpecError(
            f"the ledger of {name} has no version {version}", f"Its versions are: {known}. Recompress to make another"
        )
    record = decode(LineageRecord, vault.read_value(change.lineage))
    try:
        manifests = TypeAdapter(tuple[Manifest, ...]).validate_python(record.stages)
    except ValidationError:
        raise IntegrityError(f"the lineage record of {name} {version} is broken", "Recompress its source") from None
    return LedgerVersion(change=change, record=record, manifests=manifests)


def fault_of(vault: Vault, version: LedgerVersion) -> str | None:
    """What does not hold of all that a version rests on; None if every byte is what its digest says."""
    return next(_faults(vault, version), None)


def _faults(vault: Vault, version: LedgerVersion) -> Iterator[str]:
    change, record, verdict = version.change, version.record, version.verdict
    if record.model_version != change.version or {record.verdict_id, verdict.id} != {change.verdict}:
        yield "its lineage record is another's"
    if verdict.variant != change.variant:
        yield "its verdict is on another variant"
    for manifest in version.manifests:
        stands = vault.result(manifest.key)
        if stands is None:
            yield f"the result of {manifest.key} is gone or has changed"
        elif (stands.inputs, stands.outputs) != (manifest.inputs, manifest.outputs):
            yield f"the result of {manifest.key} is not the one in its record"
