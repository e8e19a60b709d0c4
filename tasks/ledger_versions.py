"""The ledger's word on a version -> the lineage record behind it, and whether all of that still holds."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from lorp.digest import digest_bytes, digest_listing, digest_value
from lorp.errors import IntegrityError, SpecError
from lorp.gate import Verdict
from lorp.ledger import Change, Standing
from lorp.lineage import LineageRecord
from lorp.models import device_kind
from lorp.spec import ComputeSpec, RecompressSpec
from lorp.values import decode, encode
from tasks.store.protocol import KEY
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
        """How it was measured; on the CPU where this machine has not the device."""
        asked = self.spec.compute
        try:
            device_kind(asked.device)
        except SpecError:
            return asked.model_copy(update={"device": "cpu"})
        return asked

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
    record = decode(LineageRecord, vault.read_value(change.lineage))
    fault: str | None
    try:
        manifests = TypeAdapter(tuple[Manifest, ...]).validate_python(record.stages)
        found = LedgerVersion(change=change, record=record, manifests=manifests)
        fault = _contradiction(name, found)
    except (ValidationError, KeyError):
        fault = "it cannot be read"
    if fault:
        raise IntegrityError(f"the lineage record of {name} {version} is broken: {fault}", "Recompress its source")
    return found


def _contradiction(name: str, version: LedgerVersion) -> str | None:
    """What ledger, record and verdict do not agree on."""
    change, record, verdict = version.change, version.record, version.verdict
    judged = {each.outputs["verdict"].sha256 for each in version.manifests if each.stage == "gate"}
    files = version.variant.files
    agree = {
        "it is another version's": (record.model_name, record.model_version) == (name, change.version),
        "its verdict is another": record.verdict_id == verdict.id == change.verdict,
        "its verdict is not the gate's": judged == {digest_bytes(encode(verdict))},
        "its verdict is on another variant": verdict.variant == change.variant,
        "its verdict is under other budgets": verdict.gate == digest_value(version.spec.gate.budgets()),
        "its files are others": digest_listing(files) == change.variant,
        "its files have no plain names": all(KEY.fullmatch(file.name) and "/" not in file.name for file in files),
    }
    return next((fault for fault, fine in agree.items() if not fine), None)


def fault_of(vault: Vault, version: LedgerVersion) -> str | None:
    """What of all that a version rests on is not what its digest says; None if everything is."""
    return next(_faults(vault, version), None)


def _faults(vault: Vault, version: LedgerVersion) -> Iterator[str]:
    for manifest in version.manifests:
        stands = vault.result(manifest.key)
        if stands is None:
            yield f"the result of {manifest.key} is gone or has changed"
        elif (stands.inputs, stands.outputs) != (manifest.inputs, manifest.outputs):
            yield f"the result of {manifest.key} is not the one in its record"
