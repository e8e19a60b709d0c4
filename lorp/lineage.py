"""The record of a run: every input and output by digest, what was asked, which software, and what the gate said."""

from dataclasses import dataclass
from typing import Any

SCHEMA = "lorp.lineage/1"


@dataclass(frozen=True, kw_only=True)
class LineageRecord:
    """All that is needed to say, years later, what a variant is and how it came to be.

    Attributes:
        schema: Of this record.
        spec: What was asked, seeds included, as JSON.
        stages: The manifest of every stage, as JSON: key, inputs, outputs with digest and size, versions, time.
        verdict: The verdict as JSON.
        verdict_id: Digest of (variant, evaluation, gate spec).
        packages: Version of every installed package.
        flow_run: Id of the flow run that registered.
        tracking_run: Id of the run in the model registry's tracking.
        model_name: Registered model.
        model_version: Its version; None for a rejected variant.
    """

    schema: str
    spec: dict[str, Any]
    stages: tuple[dict[str, Any], ...]
    verdict: dict[str, Any]
    verdict_id: str
    packages: dict[str, str]
    flow_run: str
    tracking_run: str
    model_name: str
    model_version: int | None
