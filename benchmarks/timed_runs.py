"""A small job, with which Prefect starts, and then a whole one: `python timed_runs.py CHECKPOINT`.

Prints seconds of the second flow, and of the stages that it ran, as JSON.
"""

import json
import sys
import time
from pathlib import Path

from flows.recompress import run_recompress
from lorp.spec import (
    CalibrationSpec,
    DownstreamSpec,
    EvaluationSpec,
    GenerationSpec,
    HealingSpec,
    PruningSpec,
    RecompressSpec,
    SpeedSpec,
)
from tasks.vault import Vault, open_vault
from tasks.workspace import make_home, workspace


def main(checkpoint: str) -> None:
    """Runs both."""
    make_home()
    places = workspace()
    vault = open_vault(places.store)
    run_recompress(small_job(checkpoint), places)
    before = stage_seconds(vault)
    begun = time.perf_counter()
    run_recompress(whole_job(checkpoint), places)
    flow_seconds = time.perf_counter() - begun
    print(json.dumps([flow_seconds, stage_seconds(vault) - before]))


def stage_seconds(vault: Vault) -> float:
    """What all stages in the store took."""
    manifests = [vault.result(Path(key).stem) for key in vault.store.keys("stages")]
    return sum(manifest.seconds for manifest in manifests if manifest)


def small_job(checkpoint: str) -> RecompressSpec:
    """Little more than the fetch."""
    return RecompressSpec(
        source=checkpoint,
        name="bench",
        pruning=PruningSpec(remove=1, method="lorp"),
        healing=HealingSpec(method="none"),
        calibration=CalibrationSpec(num_windows=8),
        evaluation=EvaluationSpec(num_windows=30, window_tokens=64),
        tasks=DownstreamSpec(tasks=()),
        generation=GenerationSpec(num_prompts=0),
        speed=SpeedSpec(repeats=0),
    )


def whole_job(checkpoint: str) -> RecompressSpec:
    """Everything that is measured by default, with fewer questions, of a plan neither searched for nor healed."""
    return RecompressSpec(
        source=checkpoint,
        name="bench",
        pruning=PruningSpec(remove=3, method="lorp"),
        healing=HealingSpec(method="none"),
        tasks=DownstreamSpec(limit=30),
    )


if __name__ == "__main__":
    main(sys.argv[1])
