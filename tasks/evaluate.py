"""Checkpoint as it lies in the store -> perplexity and greedy continuations on the evaluation windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.checkpoint import open_checkpoint
from lorp.corpus import Windows
from lorp.evaluation.generation import GenerationEvaluation, continue_prompts
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.expert_load import Choices, ExpertLoad, counting_choices
from lorp.models import device_kind, load_tokenizer
from lorp.spec import ComputeSpec, GenerationSpec
from lorp.values import decode, encode
from tasks.losses import measured_losses
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
        """Runs the model over every window, and counts what its routers choose, if it has experts."""
        windows = decode(Windows, vault.read(self.windows)).windows
        folder = vault.folder(self.checkpoint)
        family = open_checkpoint(folder).family
        with shared_model(folder, self.compute_spec) as model, counting_choices(model, family) as choices:
            losses = measured_losses(model, folder, self.compute_spec, windows, scratch)
        evaluation = PerplexityEvaluation(
            checkpoint=self.checkpoint.sha256,
            windows_sha256=self.windows.sha256,
            num_expected=self.num_windows,
            losses=losses,
        )
        return {"evaluation": vault.put("values", encode(evaluation), ".json"), **self._load(vault, choices)}

    def _load(self, vault: Vault, choices: Choices | None) -> Outputs:
        if choices is None:
            return {}
        load = ExpertLoad(checkpoint=self.checkpoint.sha256, windows_sha256=self.windows.sha256, choices=choices.total)
        return {"expert_load": vault.put("values", encode(load), ".json")}


@dataclass(frozen=True, kw_only=True)
class Generate(Request):
    """Greedy continuations by a checkpoint or variant."""

    STAGE: ClassVar[str] = "generate"
    VERSION: ClassVar[int] = 1
    checkpoint: Reference
    windows: Reference
    num_windows: int
    spec: GenerationSpec
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint and windows, how much is written, dtype and kind of device."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "windows": self.windows.sha256,
            "generation": self.spec.model_dump(mode="json"),
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Lets the model write."""
        windows = decode(Windows, vault.read(self.windows)).windows
        folder = vault.folder(self.checkpoint)
        tokenizer = load_tokenizer(folder)

        def text(tokens: Sequence[int]) -> str:
            return str(tokenizer.decode(list(tokens), skip_special_tokens=True))

        with shared_model(folder, self.compute_spec) as model:
            continuations = continue_prompts(model, windows, text, self.spec)
        evaluation = GenerationEvaluation(
            checkpoint=self.checkpoint.sha256,
            windows_sha256=self.windows.sha256,
            num_expected=min(self.spec.num_prompts, self.num_windows),
            continuations=continuations,
        )
        return {"evaluation": vault.put("values", encode(evaluation), ".json")}
