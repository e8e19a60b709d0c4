"""Capture, surgery and evaluation done again from the source: weights byte for byte, the rest within tolerances.

What rests on floating-point forward passes differs in the last digits between machines, devices and releases of
PyTorch. What counts as none is stated here, and in docs/lineage.md.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lorp.digest import digest_listing, list_files
from lorp.errors import IntegrityError
from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.evaluation.generation import GenerationEvaluation
from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.gate import judge
from lorp.parquet import WindowSums, decode_windows
from lorp.spec import ComputeSpec
from lorp.values import decode
from tasks.audit.dry_vault import DryVault
from tasks.audit.findings import Fault, Step, guarded, judged, not_done
from tasks.audit.objects import Objects
from tasks.capture import CaptureShard
from tasks.downstream import AnswerQuestions
from tasks.evaluate import Evaluate, Generate
from tasks.evidence import read_evidence
from tasks.plan import Prune
from tasks.records import RunRecord, compute_here
from tasks.stage import Request
from tasks.vault import Manifest, Reference

#: Largest differences that count as none, by the dtype of the pass: of mean cosines; of a window's loss in nats; of the
#: mean over windows; of accuracy and of the rate of repetition.
COSINE_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
LOSS_TOLERANCE = {"float32": 1e-3, "bfloat16": 1e-1, "float16": 2e-2}
MEAN_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2, "float16": 2e-3}
RATE_TOLERANCE = {"float32": 1e-2, "bfloat16": 3e-2, "float16": 2e-2}


class ReplayVault(DryVault):
    """A vault that also gives verified folders to models and surgery, and keeps what is made in memory or by digest."""

    def read(self, reference: Reference) -> bytes:
        """An object's bytes, or what was made again and never stored. Raises as in an audit."""
        return self.made.get(reference.sha256) or super().read(reference)

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
    """Does again what a run's variant and its verdict rest on; timings are taken as they are."""
    vault, compute, about = ReplayVault(objects), compute_here(run.spec.compute), run.title
    where = f"values/{run.sha256}.json"
    if not objects.listed(run.variant.key):
        yield not_done(about, "replay", "the variant's weights are no longer kept")
        return
    yield guarded(about, "surgery, done again", where, partial(_surgery, run, vault))
    yield guarded(about, "capture, done again", where, partial(_captures, run, vault, compute))
    again: dict[str, Reference] = {}
    for role, stage in run.chain.evaluations.items():
        if stage.stage != "speed":
            look = partial(_evaluated, run, role, vault, compute, again)
            yield guarded(about, _name(role, stage), where, look)
    yield guarded(about, "verdict, on what was done again", where, partial(_judged_again, run, vault, again))


_NAMES = {"evaluate": "perplexity", "answers": "accuracy", "generate": "continuations"}


def _name(role: str, stage: Manifest) -> str:
    return f"{_NAMES[stage.stage]}, {role.partition('_')[0]}, done again"


def _surgery(run: RunRecord, vault: ReplayVault) -> Step:
    pruned = run.chain.prune.inputs
    request = Prune(
        checkpoint=run.chain.checkpoint,
        plan=run.output(pruned["plan"]),
        weights=run.output(pruned["weights"]) if "weights" in pruned else None,
    )
    made = _made(request, vault)["variant"]
    recorded = {file.name: file.sha256 for file in run.variant.files}
    again = {file.name: file.sha256 for file in made.files}
    faults = [
        Fault(object=f"{run.variant.key}/{file}", reason="cut again from source, plan and patch, it has other bytes")
        for file in sorted(recorded.keys() | again.keys())
        if recorded.get(file) != again.get(file)
    ]
    return judged(run.title, "surgery, done again", faults, f"the same {len(recorded)} files, byte for byte")


def _captures(run: RunRecord, vault: ReplayVault, compute: ComputeSpec) -> Step:
    allowed, shards = COSINE_TOLERANCE[compute.dtype], [each for one in run.chain.captures.values() for each in one]
    differences = [_capture_difference(run, shard, vault, compute) for shard in shards]
    faults = [
        Fault(
            object=shard.outputs["windows"].key,
            reason=f"captured again, mean cosines differ by {differs:.2g}, and {allowed:g} is allowed",
        )
        for shard, differs in zip(shards, differences, strict=True)
        if not differs <= allowed
    ]
    said = f"mean cosines differ by {max(differences):.2g} at most, and {allowed:g} is allowed"
    return judged(run.title, "capture, done again", faults, said)


def _capture_difference(run: RunRecord, stage: Manifest, vault: ReplayVault, compute: ComputeSpec) -> float:
    asked = stage.inputs
    request = CaptureShard(
        checkpoint=run.output(asked["checkpoint"]),
        windows=run.output(asked["windows"]),
        first=asked["first"],
        sampled_tokens=asked["sampled_tokens"],
        seed=asked["seed"],
        compute_spec=compute.model_copy(update={"capture_mode": asked.get("capture_mode", "memory")}),
        stack=asked.get("stack"),
    )
    made = decode_windows(vault.made[_made(request, vault)["windows"].sha256])
    recorded = decode_windows(vault.read(stage.outputs["windows"]))
    if (made.ids, made.documents) != (recorded.ids, recorded.documents):
        return float("inf")
    return float(np.abs(_means(made) - _means(recorded)).max())


def _means(sums: WindowSums) -> Any:
    return sums.cosine_sums_WLL / sums.num_tokens[:, None, None]


def _evaluated(
    run: RunRecord, role: str, vault: ReplayVault, compute: ComputeSpec, again: dict[str, Reference]
) -> Step:
    """One evaluation; what it comes to now is kept for the verdict."""
    stage = run.chain.evaluations[role]
    recorded = stage.outputs["evaluation"]
    again[role] = _made(_request(run, stage, compute), vault)["evaluation"]
    said, fault = _COMPARED[stage.stage](vault.read(recorded), vault.read(again[role]), compute.dtype)
    faults = [Fault(object=recorded.key, reason=f"done again, {said}")] if fault else []
    return judged(run.title, _name(role, stage), faults, said)


def _request(run: RunRecord, stage: Manifest, compute: ComputeSpec) -> Request:
    checkpoint, spec = run.output(stage.inputs["checkpoint"]), run.spec
    if stage.stage == "answers":
        questions = run.output(stage.inputs["questions"])
        return AnswerQuestions(checkpoint=checkpoint, questions=questions, compute_spec=compute)
    windows, num_windows = run.output(stage.inputs["windows"]), spec.evaluation.num_windows
    if stage.stage == "generate":
        return Generate(
            checkpoint=checkpoint,
            windows=windows,
            num_windows=num_windows,
            spec=spec.generation,
            compute_spec=compute,
        )
    return Evaluate(checkpoint=checkpoint, windows=windows, num_windows=num_windows, compute_spec=compute)


#: What is said of two evaluations, and whether they differ by more than is allowed.
_Compared = tuple[str, bool]


def _losses(recorded: bytes, again: bytes, dtype: str) -> _Compared:
    one, other = decode(PerplexityEvaluation, recorded), decode(PerplexityEvaluation, again)
    largest, most, most_in_the_mean = _largest(one.losses, other.losses), LOSS_TOLERANCE[dtype], MEAN_TOLERANCE[dtype]
    mean = abs(math.log(one.perplexity) - math.log(other.perplexity)) if 0 < largest < math.inf else largest
    said = f"losses differ by {largest:.2g} nats at most, {mean:.2g} in the mean; {most:g} and {most_in_the_mean:g}"
    return f"{said} are allowed", not (largest <= most and mean <= most_in_the_mean)


def _accuracies(recorded: bytes, again: bytes, dtype: str) -> _Compared:
    one, other = decode(DownstreamEvaluation, recorded), decode(DownstreamEvaluation, again)
    return _rates("accuracies", one.figures["accuracy"], other.figures["accuracy"], dtype)


def _repetitions(recorded: bytes, again: bytes, dtype: str) -> _Compared:
    one, other = decode(GenerationEvaluation, recorded), decode(GenerationEvaluation, again)
    return _rates("rates of repetition", one.repetition, other.repetition, dtype)


def _rates(what: str, recorded: float, again: float, dtype: str) -> _Compared:
    differs, allowed = abs(recorded - again), RATE_TOLERANCE[dtype]
    return f"{what} differ by {differs:.2g}, and {allowed:g} is allowed", not differs <= allowed


_COMPARED: Mapping[str, Callable[[bytes, bytes, str], _Compared]] = {
    "evaluate": _losses,
    "answers": _accuracies,
    "generate": _repetitions,
}


def _judged_again(run: RunRecord, vault: ReplayVault, again: Mapping[str, Reference]) -> Step:
    """Whether the gate says the same of what was measured again, with timings as they were."""
    asked = run.chain.gate.inputs["evaluations"]
    evidence = read_evidence(vault, {role: again.get(role) or run.output(sha256) for role, sha256 in asked.items()})
    approved = all(criterion.passed for criterion in judge(evidence, run.spec.gate))
    said = f"the gate {'approves' if approved else 'rejects'} it"
    faults = [] if approved == run.record.approved else [Fault(object=run.variant.key, reason=f"{said}, unlike before")]
    return judged(run.title, "verdict, on what was done again", faults, said)


def _largest(recorded: Sequence[WindowLoss], again: Sequence[WindowLoss]) -> float:
    """Largest difference of two losses; infinity where the windows, or which losses are finite, are not the same."""
    if [replace(loss, loss=None) for loss in recorded] != [replace(loss, loss=None) for loss in again]:
        return math.inf
    pairs = [(one.loss, other.loss) for one, other in zip(recorded, again, strict=True)]
    if any((one is None) != (other is None) for one, other in pairs):
        return math.inf
    return max((abs(one - other) for one, other in pairs if one is not None and other is not None), default=0.0)


def _made(request: Request, vault: ReplayVault) -> dict[str, Reference]:
    with TemporaryDirectory() as scratch:
        return request.compute(vault, Path(scratch))
