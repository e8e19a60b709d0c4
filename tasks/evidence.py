"""Stored evaluations, by role -> what a gate judges."""

from collections.abc import Mapping
from typing import TypeVar

from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.evaluation.generation import GenerationEvaluation
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.evaluation.speed import SpeedComparison
from lorp.gate import Evidence, Measured
from lorp.values import decode
from tasks.vault import Reference, Vault

#: The roles of what `lorp.gate.needed` names.
ROLES = {
    "perplexity": ("dense", "pruned"),
    "tasks": ("dense_tasks", "pruned_tasks"),
    "generation": ("dense_generation", "pruned_generation"),
    "speed": ("speed",),
}

Value = TypeVar("Value")


def read_evidence(vault: Vault, evaluations: Mapping[str, Reference]) -> Evidence:
    """Reads evaluations, each verified; of those beside perplexity any may be absent.

    Raises:
        IntegrityError: One is gone or has changed.
    """

    def read(kind: type[Value], role: str) -> Value | None:
        return decode(kind, vault.read(evaluations[role])) if role in evaluations else None

    def measured(model: str) -> Measured:
        return Measured(
            perplexity=decode(PerplexityEvaluation, vault.read(evaluations[model])),
            tasks=read(DownstreamEvaluation, f"{model}_tasks"),
            generation=read(GenerationEvaluation, f"{model}_generation"),
        )

    return Evidence(dense=measured("dense"), pruned=measured("pruned"), speed=read(SpeedComparison, "speed"))
