"""Whole jobs by their plain functions, without Prefect: what it runs as tasks is called one after the other."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from flows.measured import judge, measure
from flows.outcome import make_outcome
from flows.promote import PromotionSpec, decide, settle
from flows.promotion import Registry
from flows.rollback import RollbackSpec, go_back, rollback
from flows.stages import Stages
from flows.wording import Outcome
from lorp.promotion import PromotionPolicy
from lorp.spec import RecompressSpec
from tasks.collecting import plan_collection, remove_unreached
from tasks.register import Registering, register_verdict
from tasks.report import make_pages
from tasks.results import RunResults, read_values
from tasks.stage import Request, run_stage
from tasks.vault import Manifest, Vault, open_vault
from tasks.workspace import make_home, workspace

PRUNING: dict[str, Any] = {"remove": 2, "method": ["shortgpt"], "clustering": "agglomerative"}
#: Takes a pico model half a second.
RECIPE: dict[str, Any] = {
    "pruning": PRUNING,
    "healing": {"method": "none"},
    "calibration": {"num_windows": 16, "window_tokens": 32},
    "evaluation": {"num_windows": 40, "window_tokens": 32},
    "tasks": {"tasks": []},
    "generation": {"num_prompts": 0},
    "speed": {"repeats": 0},
    "gate": {"max_perplexity_ratio": 100},
}


class Plain:
    """Runs stages by calling them; tells which it made and which were there."""

    def run(self, task: object, store: str, request: Request) -> str:
        run_stage(open_vault(store), request)
        return request.key

    def at_once(self, parts: Sequence[Callable[[], Any]]) -> list[Any]:
        return [part() for part in parts]


def recompress(source: Path, name: str = "pico", **changes: Any) -> Outcome:
    """Recompresses a checkpoint in the workspace that the environment names."""
    results, stages, spec = judged(source, name, **changes)
    places = workspace()
    request = Registering(spec=spec, name=name, results=results, stages=stages, flow_run=_run())
    return make_outcome(open_vault(places.store), request, register_verdict.fn(places, request))


def judged(source: Path, name: str = "pico", **changes: Any) -> tuple[RunResults, tuple[Manifest, ...], RecompressSpec]:
    """The same as far as the verdict, which is not registered: what was made, by which stages, as what was asked."""
    _new_run()
    spec = RecompressSpec(source=str(source), name=name, **{**RECIPE, **changes})
    make_home()
    stages = Stages(spec=spec, places=workspace(), runner=Plain())
    results = judge(stages, measure(stages))
    return results, tuple(stages.done), spec


def pages(vault: Vault, spec: RecompressSpec, results: RunResults, stages: tuple[Manifest, ...]) -> tuple[str, str]:
    """Report page and model card of what was judged."""
    made = make_pages(vault, spec, str(spec.name), results, read_values(vault, results), stages)
    return vault.read(made.report).decode(), vault.read(made.card).decode()


def promote(name: str, version: int) -> dict[str, Any]:
    """Moves production to a version, whatever it is worth beside the one that is there, and however old."""
    _new_run()
    registry, asked = Registry(places=workspace()), PromotionSpec(name=name, version=version)
    registry.mend(name, asked.to)
    policy = PromotionPolicy(max_ratio_to_production=None, max_age_days=None)
    decision = decide.fn(registry, asked, policy, version)
    with patch("flows.promotion.tell"):
        outcome: dict[str, Any] = settle.fn(registry, asked, decision)
    return outcome


def roll_back(name: str) -> dict[str, Any]:
    """Moves production back."""
    _new_run()
    with patch("flows.promotion.tell"), patch("flows.rollback.go_back", go_back.fn):
        state = rollback.fn(RollbackSpec(name=name), workspace())
    outcome: dict[str, Any] = state.data
    return outcome


def reject(source: Path, name: str = "pico", **changes: Any) -> Outcome:
    """Recompresses under a budget that nothing meets."""
    outcome = recompress(source, name, **changes, gate={"max_perplexity_ratio": 1e-6})
    assert not outcome["verdict"]["approved"]
    return outcome


def collect_garbage() -> int:
    """Removes what nothing reaches, as if all were made days ago; how much that was."""
    places = workspace()
    vault = open_vault(places.store)
    return len(remove_unreached(vault, plan_collection(places, vault, datetime.now(UTC) + timedelta(days=2))))


def _new_run() -> None:
    """An id as a flow run has one."""
    os.environ["PREFECT__RUNTIME__FLOW_RUN__ID"] = str(uuid4())


def _run() -> str:
    return os.environ["PREFECT__RUNTIME__FLOW_RUN__ID"]
