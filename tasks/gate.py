"""Evaluations + budgets -> verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.digest import digest_value
from lorp.errors import IntegrityError
from lorp.gate import Verdict, judge, needed
from lorp.spec import GateSpec
from lorp.values import encode
from tasks.evidence import ROLES, read_evidence
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class Gate(Request):
    """The verdict.

    Attributes:
        variant: What is judged.
        evaluations: All evaluations by role; only those that a budget rests on are judged.
        spec: The budgets.
    """

    STAGE: ClassVar[str] = "gate"
    VERSION: ClassVar[int] = 2
    variant: Reference
    evaluations: dict[str, Reference]
    spec: GateSpec

    @property
    def judged(self) -> dict[str, Reference]:
        """The evaluations that a budget rests on, by role."""
        roles = {role for kind in needed(self.spec) for role in ROLES[kind]}
        return {role: self.evaluations[role] for role in sorted(roles & set(self.evaluations))}

    def inputs(self) -> Mapping[str, Any]:
        """Digests of the variant and of the judged evaluations, and the budgets."""
        return {
            "variant": self.variant.sha256,
            "evaluations": {role: reference.sha256 for role, reference in self.judged.items()},
            "gate": self.spec.budgets(),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Judges."""
        evidence = read_evidence(vault, self.judged)
        if evidence.checkpoints[1] - {self.variant.sha256} or len(evidence.checkpoints[0]) > 1:
            raise IntegrityError("the evaluations are not all of one dense model and this variant", "Report this")
        criteria = judge(evidence, self.spec)
        verdict = Verdict(
            variant=self.variant.sha256,
            evaluation=digest_value(self.inputs()["evaluations"]),
            gate=digest_value(self.spec.budgets()),
            approved=all(criterion.passed for criterion in criteria),
            criteria=criteria,
        )
        return {"verdict": vault.put("values", encode(verdict), ".json")}
