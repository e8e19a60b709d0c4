"""Checkpoint as it lies in the store -> perplexity; evaluations + budgets -> verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.corpus import Windows
from lorp.digest import digest_value
from lorp.evaluation.perplexity import PerplexityEvaluation, window_losses
from lorp.gate import Verdict, judge
from lorp.models import device_kind
from lorp.spec import ComputeSpec, GateSpec
from lorp.values import decode, encode
from tasks.models import shared_model
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class Evaluate(Request):
    """Perplexity of a checkpoint or variant."""

    STAGE: ClassVar[str] = "evaluate"
    VERSION: ClassVar[int] = 1
    checkpoint: Reference
    windows: Reference
    num_windows: int
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint and windows, dtype and kind of device."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "windows": self.windows.sha256,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Runs the model over every window."""
        windows = decode(Windows, vault.read(self.windows)).windows
        with shared_model(vault.folder(self.checkpoint), self.compute_spec) as model:
            losses = window_losses(model, windows)
        evaluation = PerplexityEvaluation(
            checkpoint=self.checkpoint.sha256,
            windows_sha256=self.windows.sha256,
            num_expected=self.num_windows,
            losses=losses,
        )
        return {"evaluation": vault.put("values", encode(evaluation), ".json")}


@dataclass(frozen=True, kw_only=True)
class Gate(Request):
    """The verdict."""

    STAGE: ClassVar[str] = "gate"
    VERSION: ClassVar[int] = 1
    variant: Reference
    dense: Reference
    pruned: Reference
    spec: GateSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of the variant and of both evaluations, and the budgets."""
        return {
            "variant": self.variant.sha256,
            "dense": self.dense.sha256,
            "pruned": self.pruned.sha256,
            "gate": self.spec.budgets(),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Judges."""
        dense = decode(PerplexityEvaluation, vault.read(self.dense))
        pruned = decode(PerplexityEvaluation, vault.read(self.pruned))
        criteria = judge(dense, pruned, self.spec)
        verdict = Verdict(
            variant=self.variant.sha256,
            evaluation=digest_value([self.dense.sha256, self.pruned.sha256]),
            gate=digest_value(self.spec.budgets()),
            approved=all(criterion.passed for criterion in criteria),
            criteria=criteria,
        )
        return {"verdict": vault.put("values", encode(verdict), ".json")}
