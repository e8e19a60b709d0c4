"""Dense model and variant -> times and memory, measured in turn in one process.

The only stage whose result is of this machine: it is keyed by processor, precision and threads, and redoing it gives
other numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from lorp.corpus import Window, Windows
from lorp.errors import SpecError
from lorp.evaluation.decoding import text_prompt
from lorp.evaluation.speed import SpeedComparison, measure_memory, measure_rounds
from lorp.feeding import Feed, feed_of
from lorp.models import processor_name
from lorp.spec import ComputeSpec, SpeedSpec
from lorp.values import decode, encode
from tasks.models import shared_models
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class CompareSpeed(Request):
    """How much faster and smaller a variant is."""

    STAGE: ClassVar[str] = "speed"
    VERSION: ClassVar[int] = 1
    dense: Reference
    variant: Reference
    windows: Reference
    spec: SpeedSpec
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of both and of the windows, what is timed, processor, precision and threads."""
        return {
            "dense": self.dense.sha256,
            "variant": self.variant.sha256,
            "windows": self.windows.sha256,
            "speed": self.spec.model_dump(mode="json"),
            "dtype": self.compute_spec.dtype,
            "processor": processor_name(self.compute_spec.device),
            "threads": torch.get_num_threads(),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Measures memory, then times."""
        windows = decode(Windows, vault.read(self.windows)).windows
        folders = [vault.folder(self.dense), vault.folder(self.variant)]
        try:
            with shared_models(folders, self.compute_spec) as (dense, pruned):
                prompt = _prompt(dense, windows, self.spec.prefill_tokens)
                memory = [measure_memory(model, prompt) for model in (dense, pruned)]
                rounds = measure_rounds(dense, pruned, prompt, self.spec)
        except torch.OutOfMemoryError:
            raise SpecError(
                "dense model and variant do not fit into memory together, as timing them takes",
                "Leave timing out with --speed-rounds 0",
            ) from None
        comparison = SpeedComparison(
            dense=self.dense.sha256,
            pruned=self.variant.sha256,
            processor=processor_name(self.compute_spec.device),
            dtype=self.compute_spec.dtype,
            threads=torch.get_num_threads(),
            prefill_tokens=prompt.num_read,
            decode_tokens=self.spec.decode_tokens,
            rounds=rounds,
            dense_memory=memory[0],
            pruned_memory=memory[1],
        )
        return {"speed": vault.put("values", encode(comparison), ".json")}


def _prompt(model: PreTrainedModel, windows: Sequence[Window], num_tokens: int) -> Feed:
    """Tokens of the windows, one after the other; of pairs, the first sound, or the first image with its text."""
    if windows[0].medium:
        return feed_of(windows[:1], model)
    read = (token for window in windows for token in window.source or window.tokens)
    return text_prompt(model, [list(islice(read, num_tokens))])
