"""What a run's stages were given, held against what its spec asks for."""

from collections.abc import Callable, Mapping
from typing import Any

from lorp.corpus.address import pair_kind
from lorp.corpus.media import MEDIUM_KINDS
from lorp.spec import CalibrationSpec, EvaluationSpec, RecompressSpec
from tasks.chain import Chain
from tasks.vault import Manifest
from tasks.windows import are_pairs, of_evaluation

#: Inputs of a kind of stage that follow from the spec.
_ASKED: Mapping[str, Callable[[RecompressSpec], Mapping[str, Any]]] = {
    "capture": lambda spec: {
        "sampled_tokens": spec.calibration.sampled_tokens,
        "seed": spec.calibration.seed,
        "stack": spec.pruning.stack,
    },
    "guess": lambda spec: {"stack": spec.pruning.stack},
    "score": lambda spec: {"seed": spec.calibration.seed},
    "cluster": lambda spec: {"kind": spec.pruning.clustering, "num_clusters": spec.pruning.num_clusters},
    "search": lambda spec: {
        "max_swaps": spec.search.max_swaps,
        "seed": spec.calibration.seed,
        "stack": spec.pruning.stack,
    },
    "heal": lambda spec: {"method": spec.healing.method},
    "generate": lambda spec: {"generation": spec.generation.model_dump(mode="json")},
    "speed": lambda spec: {"speed": spec.speed.model_dump(mode="json")},
    "questions": lambda spec: spec.tasks.model_dump(mode="json", include={"num_fewshot", "limit", "seed"}),
}
#: Kinds of stage in which a model runs.
_RUN = ("capture", "guess", "search", "heal", "look", "evaluate", "answers", "generate", "speed")


def asked_faults(chain: Chain, spec: RecompressSpec) -> list[str]:
    """Settings of stages that are not those of the spec."""
    return [
        f"{stage.key} was given {name} {stage.inputs.get(name)!r}, and {value!r} was asked for"
        for stage in chain.stages
        for name, value in _asked(chain, stage, spec).items()
        if stage.inputs.get(name) != value
    ]


def _asked(chain: Chain, stage: Manifest, spec: RecompressSpec) -> Mapping[str, Any]:
    if stage.stage == "windows":
        text = _text(chain, stage, spec)
        return {
            "packing": text.packing,
            "window_tokens": text.window_tokens,
            "seed": text.seed,
            "pairs": True if are_pairs(spec) else None,
            "medium": next((kind for kind in map(pair_kind, text.corpora) if kind in MEDIUM_KINDS), None),
        }
    dtype = {"dtype": spec.compute.dtype} if stage.stage in _RUN else {}
    return {**dtype, **(_ASKED[stage.stage](spec) if stage.stage in _ASKED else {})}


def _text(chain: Chain, stage: Manifest, spec: RecompressSpec) -> CalibrationSpec | EvaluationSpec:
    """What the windows are of; those of mixtures that were not chosen are of calibration text too."""
    use = next((use for use, cut in chain.windows.items() if cut == stage), "calibration")
    return spec.evaluation if of_evaluation(use) else spec.calibration
