"""Evaluations that are not what the gate was to judge are never approved, nor forged verdicts registered."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import jobs
from children import child
from evidence import Bench, Evaluations, make_bench
from forgeries import forgeries
from rows import trials

from lorp.digest import canonical_json
from lorp.errors import LorpError
from lorp.gate import Verdict
from lorp.spec import GateSpec
from lorp.values import decode
from tasks.gate import Asked, Gate
from tasks.register import Registering, register_verdict
from tasks.stage import run_stage
from tasks.vault import Reference, Vault, open_vault
from tasks.workspace import Workspace, workspace


def test_no_bad_evaluation_is_approved(tmp_path: Path) -> None:
    tried = trials("bad_evaluations")
    for number in tried.left():
        with tried.trial(number) as figures:
            bench = make_bench(tmp_path / str(number))
            assert bench.gate(bench.sound).verdict(bench.vault).approved, "what is sound is not approved"
            figures.update({"evaluations": 0, "refused by name": 0, "rejected": 0, "approved": 0})
            for place, (name, evaluations) in enumerate(forgeries(bench, Random(number))):
                if tried.is_slice and place % 5 and not name.startswith("other "):
                    continue
                figures["evaluations"] += 1
                came_of_it = _judged(bench, evaluations)
                figures[came_of_it] += 1
                assert came_of_it != "approved", name
            _edited_in_place(bench, figures)
        shutil.rmtree(tmp_path / str(number))


def _judged(bench: Bench, evaluations: Evaluations) -> str:
    try:
        done = run_stage(bench.vault, bench.gate(evaluations))
        verdict = decode(Verdict, bench.vault.read(done.outputs["verdict"]))
    except LorpError as fault:
        return "refused by name" if str(fault).isprintable() else "refused by what no terminal shows"
    return "approved" if verdict.approved else "rejected"


def _edited_in_place(bench: Bench, figures: dict[str, float]) -> None:
    """Bytes that are no longer what their digest says."""
    for role in bench.sound:
        gate = bench.gate(bench.sound)
        path = bench.vault.store.local(gate.evaluations[role].key)
        sound = path.read_bytes()
        path.write_bytes(sound.replace(b"3", b"2"))
        figures["evaluations"] += 1
        try:
            run_stage(bench.vault, gate)
        except LorpError:
            figures["refused by name"] += 1
        else:
            raise AssertionError(f"{role} was changed, and judged")


#: What is made of a verdict that rejects.
FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "approved": lambda verdict: verdict.update(approved=True),
    "all criteria passed": lambda verdict: verdict.update(approved=True, criteria=_passed(verdict)),
    "no criteria": lambda verdict: verdict.update(approved=True, criteria=[]),
    "another bound": lambda verdict: verdict.update(approved=True, criteria=_passed(verdict, bound=0.0)),
    "another budget": lambda verdict: verdict.update(approved=True, criteria=_passed(verdict, budget=1e9)),
    "another gate": lambda verdict: verdict.update(approved=True, criteria=_passed(verdict), gate="0" * 64),
    "another variant": lambda verdict: verdict.update(approved=True, criteria=_passed(verdict), variant="0" * 64),
}


def _passed(verdict: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    return [{**criterion, "passed": True, **changes} for criterion in verdict["criteria"]]


def test_a_verdict_that_does_not_follow_is_never_registered(filled_home: Path, pico: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(filled_home, tmp_path / "home"))
    environment = {"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None}
    told = child(_register_forged, str(pico), environment=environment).end().whole()
    assert told["versions"] == 1
    for name, said in told["said"].items():
        assert said is not None, f"{name} was registered"
        assert said.startswith("IntegrityError"), f"{name}: {said}"


def _said(places: Workspace, request: Registering) -> str | None:
    """What registering says; None if it does it."""
    try:
        register_verdict.fn(places, request)
    except LorpError as fault:
        return f"{type(fault).__name__}: {fault}"
    return None


def _with_dense_numbers(vault: Vault, request: Registering) -> Registering:
    """The same, approved since the variant is said to do as the dense model does."""
    results, stages = request.results, request.stages
    numbers = json.loads(vault.read(results.evaluations["dense"])) | {"checkpoint": results.candidate.variant.sha256}
    evaluations = {**results.evaluations, "pruned": vault.put("values", canonical_json(numbers), ".json")}
    spec = request.spec.model_copy(update={"gate": GateSpec(max_perplexity_ratio=1.5)})
    gate = Gate(
        variant=results.candidate.variant, evaluations=evaluations, spec=spec.gate, dense=results.checkpoint,
        asked=Asked.of(results.windows["evaluation"], results.questions, 0),
    )  # fmt: skip
    done = run_stage(vault, gate)
    verdict = done.outputs["verdict"]
    assert decode(Verdict, vault.read(verdict)).approved
    others = tuple(done if stage.stage == "gate" else stage for stage in stages)
    results = replace(results, evaluations=evaluations, verdict=verdict)
    return replace(request, spec=spec, results=results, stages=others)


def _register_forged(pico: str) -> dict[str, Any]:
    """What registering each says; how many versions there are then."""
    from conftest import FILLING
    from mlflow import MlflowClient

    places = workspace()
    vault = open_vault(places.store)
    asked = {**FILLING, "gate": {"max_perplexity_ratio": 0.001}}
    results, stages, spec = jobs.judged(Path(pico), **asked)
    verdict = json.loads(vault.read(results.verdict))
    assert not verdict["approved"]
    said: dict[str, str | None] = {}
    for name, forge in FORGED.items():
        forged = json.loads(json.dumps(verdict))
        forge(forged)
        reference: Reference = vault.put("values", canonical_json(forged), ".json")
        others = tuple(
            replace(stage, outputs={"verdict": reference}) if stage.stage == "gate" else stage for stage in stages
        )
        request = Registering(
            spec=spec, name="pico", results=replace(results, verdict=reference), stages=others, flow_run="run"
        )
        said[name] = _said(places, request)
    said["the dense model's numbers"] = _said(places, _with_dense_numbers(vault, request))
    client = MlflowClient(tracking_uri=places.tracking_uri)
    return {"said": said, "versions": len(client.search_model_versions("name = 'pico'"))}
