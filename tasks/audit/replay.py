"""Capture, surgery and evaluation done again from the source: weights byte for byte, the rest within tolerances.

What rests on floating-point forward passes differs in the last digits between machines, devices and releases of
PyTorch. What counts as none is stated here, and in docs/lineage.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lorp.digest import digest_listing, list_files
from lorp.errors import IntegrityError, LorpError
from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.parquet import WindowSums, decode_windows
from lorp.spec import ComputeSpec
from lorp.values import decode
from tasks.audit.findings import Fault, Step, judged, not_done
from tasks.audit.objects import Objects
from tasks.audit.rederive import DryVault
from tasks.capture import CaptureShard
from tasks.evaluate import Evaluate
from tasks.plan import Prune
from tasks.records import RunRecord, compute_here
from tasks.stage import Request
from tasks.vault import Manifest, Reference

#: Largest differences that count as none, of mean cosines and of window losses in nats, by the dtype of the pass.
COSINE_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
LOSS_TOLERANCE = {"float32": 1e-3, "bfloat16": 1e-1, "float16": 2e-2}


class ReplayVault(DryVault):
    """A vault that also gives verified folders to models and surgery, and keeps what is made in memory or by digest."""

    def folder(self, reference: Reference) -> Path:
        """A folder on the local disk, every file verified.

        Raises:
            IntegrityError: A file is gone or has changed, or does not belong there.
        """
        faults = self._objects.check_folder(reference)
        if faults:
            raise IntegrityError(f"{faults[0].object}: {faults[0].reason}", "Bring it back from a copy of the store")
        return self._objects.store.local(reference.key)

    def put_folder(self, kind: str, folder: Path, names: Iterable[str]) -> Reference:
        """What would have been stored, by its digest."""
        files = list_files(folder, names)
        digest = digest_listing(files)
        return Reference(key=f"{kind}/{digest}", sha256=digest, bytes=sum(file.bytes for file in files), files=files)


def replay_run(run: RunRecord, objects: Objects) -> Iterator[Step]:
    """Does again what a run's variant rests on."""
    vault, compute = ReplayVault(objects), compute_here(run.spec.compute)
    yield _surgery(run, vault)
    yield _captures(run, vault, compute)
    yield _evaluations(run, vault, compute)


def _surgery(run: RunRecord, vault: ReplayVault) -> Step:
    name = "surgery, done again"
    pruned = next(stage for stage in run.manifests if run.variant in stage.outputs.values())
    asked = pruned.inputs
    try:
        request = Prune(
            checkpoint=run.output(asked["checkpoint"]),
            plan=run.output(asked["plan"]),
            weights=run.output(asked["weights"]) if "weights" in asked else None,
        )
        made = _made(request, vault)["variant"]
    except LorpError as fault:
        return not_done(run.title, name, fault.reason)
    recorded = {file.name: file.sha256 for file in run.variant.files}
    again = {file.name: file.sha256 for file in made.files}
    faults = [
        Fault(object=f"{run.variant.key}/{file}", reason="cut again from source, plan and patch, it has other bytes")
        for file in sorted(recorded.keys() | again.keys())
        if recorded.get(file) != again.get(file)
    ]
    return judged(run.title, name, faults, f"the same {len(recorded)} files, byte for byte")


def _captures(run: RunRecord, vault: ReplayVault, compute: ComputeSpec) -> Step:
    name, largest, faults = "capture, done again", 0.0, []
    allowed = COSINE_TOLERANCE[compute.dtype]
    try:
        for stage in _stages(run, "capture"):
            differs = _capture_difference(run, stage, vault, compute)
            largest = max(largest, differs)
            if not differs <= allowed:
                reason = f"captured again, mean cosines differ by {differs:.2g}, and {allowed:g} is allowed"
                faults.append(Fault(object=stage.outputs["windows"].key, reason=reason))
    except LorpError as fault:
        return not_done(run.title, name, fault.reason)
    return judged(run.title, name, faults, f"mean cosines differ by {largest:.2g} at most, and {allowed:g} is allowed")


def _capture_difference(run: RunRecord, stage: Manifest, vault: ReplayVault, compute: ComputeSpec) -> float:
    asked = stage.inputs
    request = CaptureShard(
        checkpoint=run.output(asked["checkpoint"]),
        windows=run.output(asked["windows"]),
        first=asked["first"],
        sampled_tokens=asked["sampled_tokens"],
        seed=asked["seed"],
        compute_spec=compute,
    )
    made = decode_windows(vault.made[_made(request, vault)["windows"].sha256])
    recorded = decode_windows(vault.read(stage.outputs["windows"]))
    if made.ids != recorded.ids:
        return float("inf")
    return float(np.abs(_means(made) - _means(recorded)).max())


def _means(sums: WindowSums) -> Any:
    return sums.cosine_sums_WLL / sums.num_tokens[:, None, None]


def _evaluations(run: RunRecord, vault: ReplayVault, compute: ComputeSpec) -> Step:
    name, largest, faults = "perplexity, done again", 0.0, []
    allowed = LOSS_TOLERANCE[compute.dtype]
    try:
        for stage in _stages(run, "evaluate"):
            recorded = decode(PerplexityEvaluation, vault.read(stage.outputs["evaluation"]))
            differs = _loss_difference(run, stage, recorded, vault, compute)
            largest = max(largest, differs)
            if not differs <= allowed:
                reason = f"evaluated again, losses differ by {differs:.2g} nats, and {allowed:g} is allowed"
                faults.append(Fault(object=stage.outputs["evaluation"].key, reason=reason))
    except LorpError as fault:
        return not_done(run.title, name, fault.reason)
    return judged(run.title, name, faults, f"losses differ by {largest:.2g} nats at most, and {allowed:g} is allowed")


def _loss_difference(
    run: RunRecord, stage: Manifest, recorded: PerplexityEvaluation, vault: ReplayVault, compute: ComputeSpec
) -> float:
    asked = stage.inputs
    request = Evaluate(
        checkpoint=run.output(asked["checkpoint"]),
        windows=run.output(asked["windows"]),
        num_windows=recorded.num_expected,
        compute_spec=compute,
    )
    made = decode(PerplexityEvaluation, vault.made[_made(request, vault)["evaluation"].sha256])
    return _largest(recorded.losses, made.losses)


def _largest(recorded: Sequence[WindowLoss], again: Sequence[WindowLoss]) -> float:
    """Largest difference of two losses; infinity where the windows, or which losses are finite, are not the same."""
    if [replace(loss, loss=None) for loss in recorded] != [replace(loss, loss=None) for loss in again]:
        return float("inf")
    pairs = [(one.loss, other.loss) for one, other in zip(recorded, again, strict=True)]
    if any((one is None) != (other is None) for one, other in pairs):
        return float("inf")
    return max((abs(one - other) for one, other in pairs if one is not None and other is not None), default=0.0)


def _stages(run: RunRecord, name: str) -> list[Manifest]:
    return [manifest for manifest in run.manifests if manifest.stage == name]


def _made(request: Request, vault: ReplayVault) -> dict[str, Reference]:
    with TemporaryDirectory() as scratch:
        return request.compute(vault, Path(scratch))
