"""A run as an in-toto Statement v1 with a SLSA provenance v1 predicate <-> canonical JSON.

Sources: in-toto Attestation Framework, spec v1 (Statement, ResourceDescriptor, DigestSet); SLSA v1, provenance. What
lorp puts into the parts that these leave open stands in docs/lineage.md.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from lorp.digest import canonical_json
from lorp.errors import IntegrityError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:lorp:recompress:v1"
BUILDER = "urn:lorp:builder"

#: Begins the address of what lies in the same store as the record; its key follows.
STORE = "store:"

#: Of a folder: sha256 of the canonical JSON of its files' names, sha256 and sizes, sorted (`lorp.digest`).
FILES_DIGEST = "filesSha256"


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """An in-toto ResourceDescriptor.

    Attributes:
        name: What it is here.
        uri: Where it is: `store:` and a key in the store, or where it came from; None where it has no address.
        digest: By algorithm, in lower-case hexadecimal.
        annotations: Whatever else is known of it, as JSON.
    """

    name: str
    uri: str | None = None
    digest: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As in-toto has it; what is empty is left out."""
        parts = {"name": self.name, "uri": self.uri, "digest": self.digest, "annotations": self.annotations}
        return {name: value for name, value in parts.items() if value}


@dataclass(frozen=True, kw_only=True)
class LineageRecord:
    """All that is needed to say, years later, what a variant is and how it came to be.

    Attributes:
        subjects: The variant's files.
        model_name: The registered model.
        source: The source's name, without the folders of one machine.
        spec: What was asked, as JSON.
        seeds: Every seed in it, by the part of the spec.
        dtype: Of forward passes.
        devices: The kinds of device that stages ran on.
        approved: What the gate said.
        verdict_id: Digest of (variant, evaluation, gate spec).
        kept_blocks: Block i of the variant is block `kept_blocks[i]` of the source.
        stages: The manifest of every stage, as JSON: key, inputs, outputs with digest and size, versions, time.
        dependencies: Source checkpoint, corpora, tasks, code, packages.
        byproducts: Everything that was made on the way.
        versions: Of the software that computes.
        packages: Every installed package.
        flow_run: Id of the flow run that registered.
        tracking_run: Id of the run in the model registry's tracking.
        model_version: The version; None for a rejected variant.
        started: When the first stage that it rests on began, UTC, ISO 8601.
        finished: When this was written.
    """

    subjects: tuple[Descriptor, ...]
    model_name: str
    source: str
    spec: dict[str, Any]
    seeds: dict[str, int]
    dtype: str
    devices: tuple[str, ...]
    approved: bool
    verdict_id: str
    kept_blocks: tuple[int, ...]
    stages: tuple[dict[str, Any], ...]
    dependencies: tuple[Descriptor, ...]
    byproducts: tuple[Descriptor, ...]
    versions: dict[str, str]
    packages: tuple[Descriptor, ...]
    flow_run: str
    tracking_run: str
    model_version: int | None
    started: str
    finished: str

    def statement(self) -> dict[str, Any]:
        """The Statement, as JSON."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": _json(self.subjects),
            "predicateType": PREDICATE_TYPE,
            "predicate": {"buildDefinition": self._definition(), "runDetails": self._details()},
        }

    def encode(self) -> bytes:
        """What is stored, and signed."""
        return canonical_json(self.statement())

    def _definition(self) -> dict[str, Any]:
        return {
            "buildType": BUILD_TYPE,
            "externalParameters": {"name": self.model_name, "source": self.source, "spec": self.spec},
            "internalParameters": {
                "seeds": self.seeds,
                "compute": {"dtype": self.dtype, "devices": list(self.devices)},
                "verdict": {"id": self.verdict_id, "approved": self.approved},
                "keptBlocks": list(self.kept_blocks),
                "runs": {"flow": self.flow_run, "tracking": self.tracking_run},
                "modelVersion": self.model_version,
                "stages": list(self.stages),
            },
            "resolvedDependencies": _json(self.dependencies),
        }

    def _details(self) -> dict[str, Any]:
        return {
            "builder": {"id": BUILDER, "version": self.versions, "builderDependencies": _json(self.packages)},
            "metadata": {
                "invocationId": self.flow_run,
                "startedOn": self.started,
                "finishedOn": self.finished,
            },
            "byproducts": _json(self.byproducts),
        }


def read_statement(data: bytes) -> LineageRecord:
    """The record that `LineageRecord.encode` wrote.

    Raises:
        IntegrityError: The bytes are no such statement, or hold anything else.
    """
    try:
        found = _RECORD.validate_python(asdict(_parse(json.loads(data))))
        if found.encode() == data:
            return found
        why = "it is not as it was written"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as fault:
        why = f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''}"
    raise IntegrityError(f"stored bytes are no lineage record: {why}", "Bring it back from a copy of the store")


_RECORD = TypeAdapter(LineageRecord)


def _parse(statement: Mapping[str, Any]) -> LineageRecord:
    predicate = statement["predicate"]
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    asked, inside = definition["externalParameters"], definition["internalParameters"]
    return LineageRecord(
        subjects=_descriptors(statement["subject"]),
        model_name=asked["name"],
        source=asked["source"],
        spec=asked["spec"],
        seeds=inside["seeds"],
        dtype=inside["compute"]["dtype"],
        devices=tuple(inside["compute"]["devices"]),
        approved=inside["verdict"]["approved"],
        verdict_id=inside["verdict"]["id"],
        kept_blocks=tuple(inside["keptBlocks"]),
        stages=tuple(inside["stages"]),
        dependencies=_descriptors(definition["resolvedDependencies"]),
        byproducts=_descriptors(details["byproducts"]),
        versions=details["builder"]["version"],
        packages=_descriptors(details["builder"]["builderDependencies"]),
        flow_run=inside["runs"]["flow"],
        tracking_run=inside["runs"]["tracking"],
        model_version=inside["modelVersion"],
        started=details["metadata"]["startedOn"],
        finished=details["metadata"]["finishedOn"],
    )


def _descriptors(values: Sequence[Mapping[str, Any]]) -> tuple[Descriptor, ...]:
    return tuple(Descriptor(**value) for value in values)


def _json(descriptors: Sequence[Descriptor]) -> list[dict[str, Any]]:
    return [descriptor.json() for descriptor in descriptors]
