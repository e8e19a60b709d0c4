"""Windows -> captured shards, one shard a stage: a killed run resumes at its shard.

Where weights are streamed all windows are one shard, so that they are read once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.capture import capture_windows
from lorp.capture_streamed import capture_streamed
from lorp.checkpoint import open_checkpoint
from lorp.corpus import Windows
from lorp.models import device_kind
from lorp.parquet import encode_states, encode_windows
from lorp.plan import Stack, of_stack
from lorp.spec import CalibrationSpec, ComputeSpec
from lorp.values import decode
from tasks.models import shared_model
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault
from tasks.versions import software_versions

SHARD_WINDOWS = 8

#: In the Parquet metadata; the manifest has all of them, but equal captures shall have equal bytes.
_NOTED_VERSIONS = ("lorp", "torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class CaptureShard(Request):
    """Calibration windows `first` to `first + SHARD_WINDOWS`, captured; all from there on if they are streamed."""

    STAGE: ClassVar[str] = "capture"
    VERSION: ClassVar[int] = 2
    checkpoint: Reference
    windows: Reference
    first: int
    sampled_tokens: int
    seed: int
    compute_spec: ComputeSpec
    stack: Stack | None = None

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint and windows, the shard, the sampling, dtype, kind of device; whether it is streamed."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "windows": self.windows.sha256,
            "first": self.first,
            "sampled_tokens": self.sampled_tokens,
            "seed": self.seed,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
            **({"capture_mode": "streamed"} if self._streamed else {}),
            **of_stack(self.stack),
        }

    @property
    def _streamed(self) -> bool:
        return self.compute_spec.capture_mode == "streamed"

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Runs the model's body over the shard's windows."""
        windows = decode(Windows, vault.read(self.windows)).windows[self.first :]
        folder = vault.folder(self.checkpoint)
        family = open_checkpoint(folder, self.stack).family
        with shared_model(folder, self.compute_spec) as model:
            if self._streamed:
                captures = capture_streamed(model, family, windows, self.sampled_tokens, self.seed, scratch)
            else:
                captures = capture_windows(model, family, windows[:SHARD_WINDOWS], self.sampled_tokens, self.seed)
        versions = {f"version.{name}": software_versions()[name] for name in _NOTED_VERSIONS}
        metadata = {f"lorp.{name}": str(value) for name, value in {**self.inputs(), **versions}.items()}
        return {
            "windows": vault.put(f"captures/{self.key}", encode_windows(captures, metadata), ".parquet"),
            "states": vault.put(f"captures/{self.key}", encode_states(captures, metadata), ".parquet"),
        }


def shard_requests(
    checkpoint: Reference, windows: Reference, spec: CalibrationSpec, compute: ComputeSpec, stack: Stack | None = None
) -> list[CaptureShard]:
    """The stages that capture all calibration windows."""
    size = spec.num_windows if compute.capture_mode == "streamed" else SHARD_WINDOWS
    return [
        CaptureShard(
            label=f"from window {first}",
            checkpoint=checkpoint,
            windows=windows,
            first=first,
            sampled_tokens=spec.sampled_tokens,
            seed=spec.seed,
            compute_spec=compute,
            stack=stack,
        )
        for first in range(0, spec.num_windows, size)
    ]
