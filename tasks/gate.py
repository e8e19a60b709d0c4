"""Evaluations + budgets -> verdict."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.digest import digest_value
from lorp.errors import IntegrityError
from lorp.gate import Evidence, Verdict, judge, needed
from lorp.spec import GateSpec
from lorp.values import encode
from tasks.evidence import ROLES, read_evidence
from tasks.material import check_material
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault

#: How far numbers that follow from the same ones may lie apart on two machines.
_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was to be measured: evaluations of anything else are not judged.

    Attributes:
        windows: sha256 of the windows.
        questions: sha256 of the questions; None for none.
        num_prompts: How many prompts were to be continued, if there are as many windows.
    """

    windows: str
    questions: str | None
    num_prompts: int

    @classmethod
    def of(cls, windows: Reference, questions: Reference | None, num_prompts: int) -> "Asked":
        """By references to windows and questions."""
        return cls(windows=windows.sha256, questions=questions.sha256 if questions else None, num_prompts=num_prompts)


@dataclass(frozen=True, kw_only=True)
class Gate(Request):
    """The verdict.

    Attributes:
        variant: What is judged.
        evaluations: All evaluations by role; only those that a budget rests on are judged.
        spec: The budgets.
        dense: What the variant was cut from; determines nothing that the evaluations do not name.
        asked: What was to be measured; determines nothing either.
    """

    STAGE: ClassVar[str] = "gate"
    VERSION: ClassVar[int] = 3
    variant: Reference
    evaluations: dict[str, Reference]
    spec: GateSpec
    dense: Reference | None = None
    asked: Asked | None = None

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
        return {"verdict": vault.put("values", encode(self.verdict(vault)), ".json")}

    def verdict(self, vault: Vault) -> Verdict:
        """What follows from the evaluations.

        Raises:
            IntegrityError: One is gone or has changed, or is of another model, or of other text than it names.
        """
        evidence = read_evidence(vault, self.judged)
        self._check_models(evidence)
        self._check_asked(evidence)
        check_material(vault, evidence)
        criteria = judge(evidence, self.spec)
        return Verdict(
            variant=self.variant.sha256,
            evaluation=digest_value(self.inputs()["evaluations"]),
            gate=digest_value(self.spec.budgets()),
            approved=all(criterion.passed for criterion in criteria),
            criteria=criteria,
        )

    def _check_models(self, evidence: Evidence) -> None:
        dense, pruned = evidence.checkpoints
        expected = {self.dense.sha256} if self.dense else set(list(dense)[:1])
        if dense - expected or pruned - {self.variant.sha256} or self.variant.sha256 in dense:
            raise IntegrityError("the evaluations are not all of one dense model and this variant", "Report this")

    def _check_asked(self, evidence: Evidence) -> None:
        fault = next(_not_asked(evidence, self.asked), None) if self.asked else None
        if fault:
            raise IntegrityError(f"an evaluation is not what was asked for: {fault}", "Run again, or report this")


def _not_asked(evidence: Evidence, asked: Asked) -> Iterator[str]:
    for model, measured in (("dense", evidence.dense), ("pruned", evidence.pruned)):
        losses, answers, texts = measured.perplexity, measured.tasks, measured.generation
        if losses.windows_sha256 != asked.windows:
            yield f"the {model} model's losses are of other windows"
        if answers and answers.tasks_sha256 != asked.questions:
            yield f"the {model} model's answers are to other questions"
        num_prompts = min(asked.num_prompts, losses.num_expected)
        if texts and texts.num_expected != num_prompts:
            yield f"the {model} model was to continue {texts.num_expected} prompts instead of {num_prompts}"


def check_follows(verdict: Verdict, gate: Gate, vault: Vault) -> None:
    """Refuses a verdict that the evaluations behind it do not give; numbers may differ as they do between machines.

    Raises:
        IntegrityError: They give another, or none.
    """
    again = gate.verdict(vault)
    told, followed = _said(verdict), _said(again)
    numbers = zip(_numbers(verdict), _numbers(again), strict=False)
    if told != followed or not all(_alike(one, other) for one, other in numbers):
        raise IntegrityError("the verdict does not follow from its evaluations", "Run again, or report this")


def _said(verdict: Verdict) -> Any:
    criteria = [(each.name, each.budget, each.side, each.passed) for each in verdict.criteria]
    return verdict.id, verdict.approved, criteria


def _numbers(verdict: Verdict) -> list[float | None]:
    return [number for each in verdict.criteria for number in (each.value, each.bound)]


def _alike(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
