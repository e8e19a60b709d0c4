"""Lineage records in the store: the record of a run, with its stages and verdict, and whether they agree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter

from lorp.digest import FileDigest, digest_bytes, digest_listing, digest_value
from lorp.errors import IntegrityError, SpecError
from lorp.gate import Verdict
from lorp.licence import CARD
from lorp.lineage import STORE, LineageRecord, read_statement
from lorp.lineage.schema import schema_fault
from lorp.models import device_kind
from lorp.spec import ComputeSpec, RecompressSpec
from lorp.values import decode, encode
from tasks.chain import Chain, chain_of
from tasks.store.protocol import KEY
from tasks.vault import Manifest, Reference, Vault

_MANIFESTS: TypeAdapter[tuple[Manifest, ...]] = TypeAdapter(tuple[Manifest, ...])


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The record of a run, read and understood.

    Attributes:
        sha256: Of its bytes.
        record: What they say.
        spec: What was asked.
        chain: The run's stages.
    """

    sha256: str
    record: LineageRecord
    spec: RecompressSpec
    chain: Chain

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Of the run's stages, in their order."""
        return self.chain.stages

    @property
    def variant(self) -> Reference:
        """The variant's files."""
        return self.chain.variant

    @property
    def card(self) -> FileDigest | None:
        """The variant's model card, as a file; None where there is none."""
        found = next((page for page in self.record.byproducts if page.name == "card"), None)
        return FileDigest(name=CARD, sha256=found.digest["sha256"], bytes=found.annotations["bytes"]) if found else None

    @property
    def title(self) -> str:
        """What people are told it is the record of."""
        version = self.record.model_version
        return f"{self.record.model_name} {version}" if version else f"a rejected run of {self.record.model_name}"

    def output(self, sha256: str) -> Reference:
        """Something that the run made.

        Raises:
            IntegrityError: It made no such thing.
        """
        found = next((made for made in outputs(self.manifests) if made.sha256 == sha256), None)
        if found is None:
            raise self.incomplete(sha256)
        return found

    def incomplete(self, what: str) -> IntegrityError:
        """Says that the record lacks something."""
        return IntegrityError(f"the lineage record of {self.title} holds no {what}", "Recompress its source again")


def outputs(manifests: Iterable[Manifest]) -> Iterator[Reference]:
    """Everything that stages made."""
    for manifest in manifests:
        yield from manifest.outputs.values()


def parse_record(data: bytes) -> RunRecord:
    """A record from its bytes.

    Raises:
        IntegrityError: It is none, or does not agree with itself.
    """
    fault = schema_fault(data)
    if fault:
        raise _broken("the stored lineage record", f"in-toto and SLSA do not allow it: {fault}")
    record = read_statement(data)
    what = f"the lineage record of {record.model_name} {record.model_version or '(rejected)'}"
    try:
        chain = chain_of(_MANIFESTS.validate_python(record.stages))
        spec = RecompressSpec.model_validate(record.spec)
    except IntegrityError as refused:
        raise _broken(what, refused.reason) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _broken(what, "it cannot be read") from None
    found = RunRecord(sha256=digest_bytes(data), record=record, spec=spec, chain=chain)
    fault = _contradiction(found)
    if fault:
        raise _broken(what, fault)
    return found


def read_record(vault: Vault, name: str, sha256: str) -> RunRecord:
    """A record of a model of this name from the store.

    Raises:
        IntegrityError: It is gone or has changed, is none, does not agree with itself, or is of another name.
    """
    found = parse_record(vault.read_value(sha256))
    if found.record.model_name != name:
        raise _broken(f"the lineage record {sha256}", f"it is of {found.record.model_name}, not of {name}")
    return found


def read_verdict(vault: Vault, run: RunRecord) -> Verdict:
    """What the gate said, as the record and its stage have it.

    Raises:
        IntegrityError: It is gone or has changed, or is another.
    """
    verdict = decode(Verdict, vault.read(run.chain.gate.outputs["verdict"]))
    fault = verdict_contradiction(run, verdict)
    if fault:
        raise _broken(f"the lineage record of {run.title}", fault)
    return verdict


def verdict_contradiction(run: RunRecord, verdict: Verdict) -> str | None:
    """What a record and the verdict that it names do not agree on."""
    agree = {
        "its verdict is another": (verdict.id, verdict.approved) == (run.record.verdict_id, run.record.approved),
        "its verdict is not the gate's": run.chain.gate.outputs["verdict"].sha256 == digest_bytes(encode(verdict)),
        "its verdict is on another variant": verdict.variant == run.variant.sha256,
        "its verdict is under other budgets": verdict.gate == digest_value(run.spec.gate.budgets()),
    }
    return next((fault for fault, fine in agree.items() if not fine), None)


def compute_here(asked: ComputeSpec) -> ComputeSpec:
    """How a run was computed; on the CPU where this machine has not its device."""
    try:
        device_kind(asked.device)
    except SpecError:
        return asked.model_copy(update={"device": "cpu"})
    return asked


def _contradiction(run: RunRecord) -> str | None:
    """What a record says of itself in two ways that differ."""
    files = run.variant.files
    named = {(subject.name, subject.digest.get("sha256")) for subject in run.record.subjects}
    approved = run.record.approved
    agree = {
        "its files are others": digest_listing(files) == run.variant.sha256,
        "its subjects are not the variant's files": named == {(file.name, file.sha256) for file in files},
        "its files have no plain names": all(KEY.fullmatch(file.name) and "/" not in file.name for file in files),
        "it names what is no key": all(map(KEY.fullmatch, _keys(run))),
        "only what was approved has a version": approved == (run.record.model_version is not None),
    }
    return next((fault for fault, fine in agree.items() if not fine), None)


def _keys(run: RunRecord) -> Iterator[str]:
    """Every key of the store that a record names."""
    for made in outputs(run.manifests):
        yield from (made.key, *dict(made.objects()))
    for described in (*run.record.subjects, *run.record.dependencies, *run.record.byproducts):
        if described.uri and described.uri.startswith(STORE):
            yield described.uri.removeprefix(STORE)


def _broken(what: str, fault: str) -> IntegrityError:
    return IntegrityError(f"{what} is broken: {fault}", "Recompress its source")
