"""Checkpoint + plan -> new weights for the blocks that stay, and how they were found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.checkpoint import open_checkpoint
from lorp.corpus.uses import HealingWindows
from lorp.healing import heal
from lorp.healing.patch import WEIGHTS, Patch, write_weights
from lorp.models import device_kind
from lorp.plan import PruningPlan
from lorp.spec import ComputeSpec, HealingMethod
from lorp.values import decode, encode
from tasks.models import shared_model
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class Heal(Request):
    """New weights."""

    STAGE: ClassVar[str] = "heal"
    VERSION: ClassVar[int] = 2
    checkpoint: Reference
    plan: Reference
    windows: Reference
    method: HealingMethod
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint, plan and windows, the method, dtype and kind of device."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "plan": self.plan.sha256,
            "windows": self.windows.sha256,
            "method": self.method,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Fits."""
        folder = vault.folder(self.checkpoint)
        plan = decode(PruningPlan, vault.read(self.plan))
        windows = decode(HealingWindows, vault.read(self.windows))
        with shared_model(folder, self.compute_spec) as model:
            choice = heal(model, open_checkpoint(folder, plan.stack), plan, windows, self.method)
        outputs: Outputs = {}
        if choice.repaired.tensors:
            write_weights(choice.repaired.tensors, scratch / WEIGHTS)
            outputs["weights"] = vault.put_folder("patches", scratch, [WEIGHTS])
        patch = Patch(
            method=choice.method,
            repairs=choice.repaired.repairs,
            attempts=choice.attempts,
            weights_sha256=outputs["weights"].sha256 if outputs else None,
        )
        return {"patch": vault.put("values", encode(patch), ".json"), **outputs}
