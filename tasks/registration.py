"""What is told to the registry of a verdict."""

from dataclasses import dataclass
from pathlib import Path

from lorp.gate import Verdict
from lorp.spec import GateSpec
from tasks.tracking import LICENCE


@dataclass(frozen=True, kw_only=True)
class UsedWindows:
    """Windows, as a dataset of a run.

    Attributes:
        use: What for: `calibration`, `healing`, `evaluation` ...
        name: Of the corpus.
        sha256: Of the stored windows.
        source: Their address.
        num_windows: How many.
        window_tokens: Tokens of each.
    """

    use: str
    name: str
    sha256: str
    source: str
    num_windows: int
    window_tokens: int


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What is told to the registry.

    Attributes:
        name: Registered model's name.
        title: Run's name.
        headline: What was done and what the gate said, in a sentence.
        verdict: The verdict.
        gate: Its budgets.
        source: Address of the variant in the store.
        digests: sha256 by role: checkpoint, plan, variant and so on.
        parameters: Of the run, flat.
        metrics: Of the run, flat; finite.
        report: The page, a local file.
        card: The variant's model card.
        licence: The identifier of its source's licence, if that is known.
        datasets: The windows that were used.
    """

    name: str
    title: str
    headline: str
    verdict: Verdict
    gate: GateSpec
    source: str
    digests: dict[str, str]
    parameters: dict[str, str]
    metrics: dict[str, float]
    report: Path
    card: str
    licence: str | None = None
    datasets: tuple[UsedWindows, ...] = ()

    @property
    def tags(self) -> dict[str, str]:
        """Of run and version."""
        digests = {f"lorp.{role}": digest for role, digest in self.digests.items()}
        licence = {LICENCE: self.licence} if self.licence else {}
        return {
            **digests,
            **licence,
            "lorp.name": self.name,
            "lorp.verdict": self.verdict.id,
            "lorp.approved": str(self.verdict.approved).lower(),
            "lorp.gate_spec": self.gate.model_dump_json(),
        }
