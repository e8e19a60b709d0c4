"""The main job from end to end: outcome, what is redone and what is not, records left behind."""

import json
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from mlflow import MlflowClient
from pico import NUM_BLOCKS
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from support import Lorp, manifests
from transformers import AutoModelForCausalLM

from lorp.digest import digest_file
from tasks.cache import stage

LOOSE, TIGHT = "--max-perplexity-ratio=100", "--max-perplexity-ratio=0.5"


def redone(home: Path, before: dict[str, object]) -> Counter[str]:
    return Counter(key.split("-")[0] for key in manifests(home) if key not in before)


def test_an_approved_variant_ships_with_all_that_was_promised(recompress: Lorp, pico: Path, home: Path) -> None:
    done = recompress(LOOSE)
    outcome = done.json
    assert done.status == 0
    assert outcome["source"] == str(pico)
    assert outcome["similarity"]["rls"] > 0
    assert len(outcome["plan"]["removed"]) == 2
    perplexity = outcome["perplexity"]
    assert perplexity["ratio"] == pytest.approx(perplexity["pruned"] / perplexity["dense"])
    assert perplexity["upper_bound"] > perplexity["ratio"]
    assert outcome["verdict"]["approved"] is True
    assert {criterion["name"] for criterion in outcome["verdict"]["criteria"]} == {"perplexity_ratio"}
    assert 0 <= outcome["measured"]["accuracy_pruned"] <= 1
    assert 0 <= outcome["measured"]["repetition_pruned"] <= 1
    assert 0 < outcome["measured"]["memory_ratio"] < 1
    assert outcome["model_version"] == 1
    assert "<html" in Path(outcome["report"]).read_text()
    variant = Path(outcome["variant"]["uri"].removeprefix("file://"))
    model, loading = AutoModelForCausalLM.from_pretrained(variant, output_loading_info=True)
    assert model.config.num_hidden_layers == NUM_BLOCKS - 2
    assert not any(loading.values())


def test_a_rejected_variant_is_kept_and_not_registered(recompress: Lorp, home: Path) -> None:
    done = recompress(TIGHT)
    assert done.status == 3
    assert done.json["verdict"]["approved"] is False
    assert done.json["model_version"] is None
    assert Path(done.json["variant"]["uri"].removeprefix("file://"), "config.json").exists()
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    assert client.search_registered_models() == []
    assert client.get_run(done.json["mlflow_run"]).data.tags["lorp.approved"] == "false"


def forward(*_: object, **__: object) -> None:
    """Stands in for the model where none may run."""
    raise AssertionError("a forward pass")


def test_the_same_job_again_does_nothing_again(recompress: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = recompress(LOOSE).json
    before = manifests(home)

    monkeypatch.setattr("transformers.LlamaModel.forward", forward)
    second = recompress(LOOSE).json
    assert {**first, "run": ""} == {**second, "run": ""}
    assert redone(home, before) == Counter()


def test_results_are_found_by_a_prefect_that_remembers_nothing(
    recompress: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recompress(LOOSE)
    before = manifests(home)
    monkeypatch.setattr("tasks.cache.stage", stage.with_options(cache_policy=NO_CACHE))
    monkeypatch.setattr("transformers.LlamaModel.forward", forward)
    assert recompress(LOOSE).status == 0
    assert redone(home, before) == Counter()


def test_another_budget_redoes_only_gate_and_register(recompress: Lorp, home: Path) -> None:
    recompress(LOOSE)
    before = manifests(home)
    assert recompress(TIGHT).status == 3
    assert redone(home, before) == Counter(gate=1, register=1)


def test_another_count_redoes_only_what_rests_on_it(recompress: Lorp, home: Path) -> None:
    recompress(LOOSE)
    before = manifests(home)
    recompress(LOOSE, "--remove=3")
    assert redone(home, before) == Counter(
        plan=1, resample=1, prune=1, evaluate=1, answers=1, generate=1, speed=1, gate=1, register=1
    )


def test_a_share_that_means_the_same_count_is_the_same_job(recompress: Lorp, home: Path) -> None:
    recompress(LOOSE)
    before = manifests(home)
    recompress(LOOSE, "--remove=0.34")
    assert redone(home, before) == Counter()


def test_the_lineage_record_names_every_object_by_its_digest(recompress: Lorp, home: Path) -> None:
    outcome = recompress(LOOSE).json
    record = json.loads(Path(outcome["lineage"].removeprefix("file://")).read_text())
    definition = record["predicate"]["buildDefinition"]
    inside = definition["internalParameters"]
    assert [stage["stage"] for stage in inside["stages"]] == [
        "fetch", "windows", "windows", "capture", "capture", "score", "cluster", "questions", "plan", "resample",
        "prune", "evaluate", "answers", "generate", "evaluate", "answers", "generate", "speed", "gate",
    ]  # fmt: skip
    for made in inside["stages"]:
        assert made["versions"]["torch"]
        for output in made["outputs"].values():
            stored = {file["name"]: file["sha256"] for file in output["files"]} or {"": output["sha256"]}
            for name, sha256 in stored.items():
                assert digest_file(home / "store" / output["key"] / name) == sha256
    assert definition["externalParameters"]["spec"]["calibration"]["seed"] == inside["seeds"]["calibration"] == 0
    assert inside["verdict"] == {"id": outcome["verdict"]["id"], "approved": True}
    assert inside["keptBlocks"] == outcome["plan"]["kept"]
    assert inside["modelVersion"] == outcome["model_version"]
    assert inside["runs"] == {"flow": outcome["run"], "tracking": outcome["mlflow_run"]}
    assert str(home) not in json.dumps(record)


def test_windows_longer_than_the_models_context_are_refused(recompress: Lorp) -> None:
    done = recompress(LOOSE, "--window-tokens=257")
    assert done.status == 2
    assert "context of 256" in done.err


def test_two_homes_come_to_the_same_digests(recompress: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = recompress(LOOSE).json
    monkeypatch.setenv("LORP_HOME", f"{home}-other")
    second = recompress(LOOSE).json
    for part in ("checkpoint", "variant"):
        assert first[part]["digest"] == second[part]["digest"]
    assert first["verdict"] == second["verdict"]


@pytest.mark.parametrize(
    "options",
    [
        ["--method=shortgpt"],
        ["--method=streamline"],
        ["--clustering=agglomerative", "--criterion=residual-variance", "--clusters=2"],
        ["--dtype=bfloat16"],
        ["--windows=packed"],
        ["--max-perplexity=1000000", "--confidence=0.9"],
        ["--max-repetition-increase=1", "--min-speedup=0.001", "--max-memory-ratio=1"],
        ["--max-accuracy-drop=1", "--window-tokens=64", "--limit=40"],
        ["--tasks=none", "--generation-prompts=0", "--speed-rounds=0"],
    ],
    ids=lambda options: options[0],
)
def test_every_choice_runs(recompress: Lorp, options: list[str]) -> None:
    done = recompress(LOOSE, *options)
    assert done.status == 0, done.err


@pytest.mark.usefixtures("prefect_server")
def test_a_configuration_file_gives_options_and_flags_win(lorp: Lorp, pico: Path, tmp_path: Path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text(
        f"source: {pico}\nremove: 3\nmax-perplexity-ratio: 0.5\nmax_perplexity: 1.0e+9\nname: from-file\n"
        "calibration-windows: 16\nevaluation-windows: 40\nwindow-tokens: 32\njson: true\n"
    )
    done = lorp("recompress", "--config", config, "--max-perplexity-ratio", "100")
    assert done.status == 0, done.err
    assert len(done.json["plan"]["removed"]) == 3
    assert done.json["name"] == "from-file"
    assert [criterion["budget"] for criterion in done.json["verdict"]["criteria"]] == [100.0, 1e9]


def test_texts_of_ones_own(recompress: Lorp, tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {number} of a text of its own.\n" * 20 for number in range(80)]
    (tmp_path / "one.txt").write_text("\n\n".join(paragraphs))
    done = recompress(LOOSE, f"--calibration={tmp_path / 'one.txt'}", f"--evaluation={tmp_path / 'one.txt'}")
    assert done.status == 0, done.err


def test_texts_of_several_kinds(recompress: Lorp, tmp_path: Path) -> None:
    rows = [{"body": f"Row {number} of a table of its own. " * 9} for number in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "notes").mkdir()
    for number in range(20):
        (tmp_path / f"notes/{number}.md").write_text(f"Note {number} says this and that. " * 9)
    config = tmp_path / "job.yaml"
    config.write_text(f"evaluation: [{tmp_path / 'rows.jsonl'}#body, {tmp_path / 'notes'}]\nwindows: packed\n")
    done = recompress(LOOSE, "--config", config)
    assert done.status == 0, done.err
    record = json.loads(Path(done.json["lineage"].removeprefix("file://")).read_text())
    asked = record["predicate"]["buildDefinition"]["externalParameters"]["spec"]
    assert asked["evaluation"]["corpora"] == ["rows.jsonl#body", "notes"]


def test_prefects_pages_tell_the_verdict(recompress: Lorp) -> None:
    approved, rejected = recompress(LOOSE), recompress(TIGHT)
    with get_client(sync_client=True) as client:
        for done, name in ((approved, "Approved"), (rejected, "Rejected")):
            run_id = UUID(done.json["run"])
            [found] = client.read_flow_runs(flow_run_filter=FlowRunFilter(id={"any_": [run_id]}))
            assert (found.state.type.value, found.state.name) == ("COMPLETED", name)
            artifacts = client.request("POST", "/artifacts/filter", json={"flow_runs": {"id": {"any_": [str(run_id)]}}})
            assert {artifact["key"] for artifact in artifacts.json()} >= {"verdict", "summary"}
