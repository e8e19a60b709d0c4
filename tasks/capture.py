"""Corpus -> windows -> captured shards, one shard a stage: a killed run resumes at its shard."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from lorp.capture import capture_windows
from lorp.checkpoint import CONFIG, open_checkpoint
from lorp.corpus import Windows
from lorp.corpus.documents import documents_digest
from lorp.corpus.split import calibration_and_evaluation
from lorp.corpus.uses import HealingWindows, healing_windows
from lorp.corpus.windows import cut_windows
from lorp.digest import digest_value
from lorp.errors import CorpusError
from lorp.models import device_kind, load_tokenizer
from lorp.parquet import encode_states, encode_windows
from lorp.spec import CalibrationSpec, ComputeSpec, EvaluationSpec, HealingSpec
from lorp.values import decode, encode
from tasks.corpora import Fetched, read_documents
from tasks.models import shared_model
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault
from tasks.versions import software_versions

SHARD_WINDOWS = 8

_NO_HEALING = HealingSpec()

WindowsUse = Literal["calibration", "healing", "evaluation"]

#: In the Parquet metadata; the manifest has all of them, but equal captures shall have equal bytes.
_NOTED_VERSIONS = ("lorp", "torch", "transformers")

_TOKENIZER_FILES = ("tokenizer", "special_tokens_map", "added_tokens", "vocab", "merges")


@dataclass(frozen=True, kw_only=True)
class CutWindows(Request):
    """The token windows for one use.

    Attributes:
        use: What for.
        checkpoint: Whose tokenizer cuts.
        calibration: Where calibration text comes from, and what is asked of its windows.
        healing: How many more windows of that text healing takes.
        evaluation: The same for evaluation.
        fetched: What was fetched from the hub, by address.
        corpus_sha256: Digest of this use's documents.
        model_type: The checkpoint's, which chooses the tokenizer's class where its own files do not name one.
    """

    STAGE: ClassVar[str] = "windows"
    VERSION: ClassVar[int] = 2
    use: WindowsUse
    checkpoint: Reference
    calibration: CalibrationSpec
    healing: HealingSpec = _NO_HEALING
    evaluation: EvaluationSpec
    fetched: tuple[tuple[str, Reference], ...] = ()
    corpus_sha256: str
    model_type: str | None = None

    @property
    def spec(self) -> CalibrationSpec | EvaluationSpec:
        """What is asked for this use."""
        return self.evaluation if self.use == "evaluation" else self.calibration

    @property
    def num_windows(self) -> int:
        """Windows to cut; for healing with those in front that were captured, which it is not given."""
        return self.spec.num_windows + (self.healing.num_needed if self.use == "healing" else 0)

    def inputs(self) -> Mapping[str, Any]:
        """Digests of documents and tokenizer, the kind of model, and what is asked of the windows.

        The documents' digest pins their text wherever it comes from; a dataset's name and commit are in the key of the
        stage that fetched it.
        """
        tokenizer = sorted(
            [file.name, file.sha256] for file in self.checkpoint.files if file.name.startswith(_TOKENIZER_FILES)
        )
        return {
            "corpus": self.corpus_sha256,
            "tokenizer": digest_value(tokenizer),
            "model_type": self.model_type,
            "packing": self.spec.packing,
            "num_windows": self.num_windows,
            "window_tokens": self.spec.window_tokens,
            "seed": self.spec.seed,
            **({"captured": self.spec.num_windows, "fit": self.healing.num_windows} if self.use == "healing" else {}),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Tokenizes and cuts."""
        read = read_documents(vault, dict(self.fetched))
        parts = calibration_and_evaluation(self.calibration, self.evaluation, read)
        tokenizer = load_tokenizer(vault.folder(self.checkpoint))

        def tokenize(text: str) -> list[int]:
            ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            return ids

        documents = parts[1] if self.use == "evaluation" else parts[0]
        spec = self.spec
        windows = cut_windows(
            documents,
            tokenize,
            self.num_windows,
            spec.window_tokens,
            spec.seed,
            spec.packing,
            tokenizer.eos_token_id,
        )
        if windows.corpus_sha256 != self.corpus_sha256:
            raise CorpusError(f"the {self.use} text changed while it was read", "Run again once it is complete")
        value: Windows | HealingWindows = windows
        if self.use == "healing":
            value = healing_windows(windows.windows, spec.num_windows, self.healing.num_windows)
        return {"windows": vault.put("values", encode(value), ".json")}


@dataclass(frozen=True, kw_only=True)
class CaptureShard(Request):
    """Windows `first` to `first + SHARD_WINDOWS` of the calibration windows, captured."""

    STAGE: ClassVar[str] = "capture"
    VERSION: ClassVar[int] = 2
    checkpoint: Reference
    windows: Reference
    first: int
    sampled_tokens: int
    seed: int
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint and windows, the shard, the sampling, dtype and kind of device."""
        return {
            "checkpoint": self.checkpoint.sha256,
            "windows": self.windows.sha256,
            "first": self.first,
            "sampled_tokens": self.sampled_tokens,
            "seed": self.seed,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Runs the model's body over the shard's windows."""
        windows = decode(Windows, vault.read(self.windows)).windows[self.first : self.first + SHARD_WINDOWS]
        folder = vault.folder(self.checkpoint)
        family = open_checkpoint(folder).family
        with shared_model(folder, self.compute_spec) as model:
            captures = capture_windows(model, family, windows, self.sampled_tokens, self.seed)
        versions = {f"version.{name}": software_versions()[name] for name in _NOTED_VERSIONS}
        metadata = {f"lorp.{name}": str(value) for name, value in {**self.inputs(), **versions}.items()}
        return {
            "windows": vault.put(f"captures/{self.key}", encode_windows(captures, metadata), ".parquet"),
            "states": vault.put(f"captures/{self.key}", encode_states(captures, metadata), ".parquet"),
        }


def window_requests(
    vault: Vault,
    checkpoint: Reference,
    calibration: CalibrationSpec,
    healing: HealingSpec,
    evaluation: EvaluationSpec,
    fetched: Fetched,
) -> dict[WindowsUse, CutWindows]:
    """The stages that cut windows, a use each; those of evaluation from other documents than the rest.

    Args:
        vault: Where fetched text lies.
        checkpoint: Whose tokenizer cuts.
        calibration: Corpora and windows for calibration.
        healing: How many more windows healing takes, if any.
        evaluation: Corpora and windows for evaluation.
        fetched: What was fetched from the hub, by address.

    Raises:
        CorpusError: Text is missing or empty, cannot be split, or is shared.
    """
    parts = calibration_and_evaluation(calibration, evaluation, read_documents(vault, fetched))
    model_type = _model_type(vault, checkpoint)

    def request(use: WindowsUse) -> CutWindows:
        return CutWindows(
            use=use,
            label=use,
            checkpoint=checkpoint,
            calibration=calibration,
            healing=healing,
            evaluation=evaluation,
            fetched=tuple(fetched.items()),
            corpus_sha256=documents_digest(parts[1] if use == "evaluation" else parts[0]),
            model_type=model_type,
        )

    uses: tuple[WindowsUse, ...] = ("calibration", "healing", "evaluation")
    return {use: request(use) for use in uses if use != "healing" or healing.num_needed}


def _model_type(vault: Vault, checkpoint: Reference) -> str | None:
    for file in checkpoint.files:
        if file.name == CONFIG:
            config = Reference(key=f"{checkpoint.key}/{CONFIG}", sha256=file.sha256, bytes=file.bytes)
            return str(json.loads(vault.read(config)).get("model_type"))
    return None


def shard_requests(
    checkpoint: Reference, windows: Reference, spec: CalibrationSpec, compute: ComputeSpec
) -> list[CaptureShard]:
    """The stages that capture all calibration windows."""
    return [
        CaptureShard(
            label=f"from window {first}",
            checkpoint=checkpoint,
            windows=windows,
            first=first,
            sampled_tokens=spec.sampled_tokens,
            seed=spec.seed,
            compute_spec=compute,
        )
        for first in range(0, spec.num_windows, SHARD_WINDOWS)
    ]
