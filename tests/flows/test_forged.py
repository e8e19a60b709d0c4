"""Histories whose every digest, seal and link is sound, and which are false all the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from audits import Put, Stages, overwrite, reforged, rewritten

from lorp.digest import canonical_json, digest_bytes, digest_value
from tasks.audit import AuditRequest, audit
from tasks.store import FolderStore

Change = Any


@pytest.fixture
def store(audited_home: tuple[Path, dict[str, Any]], home: Path) -> Path:
    """A store of this test's own."""
    shutil.copytree(audited_home[0], home)
    return home / "store"


@pytest.fixture
def lineage(audited_home: tuple[Path, dict[str, Any]]) -> str:
    """sha256 of the first version's record."""
    return Path(audited_home[1]["first"]["lineage"]).stem


def reasons(store: Path, **asked: Any) -> str:
    """What an audit of everything has to say."""
    return "; ".join(
        fault.reason for fault in audit(FolderStore(store), AuditRequest(target=None, **asked)).found.faults
    )


def of(stages: Stages, kind: str) -> dict[str, Any]:
    return next(stage for stage in stages if stage["stage"] == kind)


def judged(stages: Stages) -> dict[str, Any]:
    found: dict[str, Any] = of(stages, "gate")["inputs"]["evaluations"]
    return found


def value_of(stages: Stages, sha256: str, store: Path) -> Any:
    made = next(made for stage in stages for made in stage["outputs"].values() if made["sha256"] == sha256)
    return json.loads((store / made["key"]).read_bytes())


def replaced(stages: Stages, sha256: str, value: Any, put: Put, renamed: dict[str, str]) -> None:
    """Another value in the place of one that a stage has made."""
    for stage in stages:
        for role, made in stage["outputs"].items():
            if made["sha256"] == sha256:
                stage["outputs"][role] = put(value)
                renamed[sha256] = stage["outputs"][role]["sha256"]
                return


def test_a_run_that_is_rewritten_as_it_is_stays_sound(store: Path, lineage: str) -> None:
    reforged(store, lineage, lambda record, stages, put, renamed: None)
    assert reasons(store) == ""


def test_a_stage_of_no_known_kind_is_refused(store: Path, lineage: str) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        made_up = {**of(stages, "search"), "stage": "imported", "inputs": {}}
        made_up["key"] = f"imported-v1-{digest_value({})}"
        stages[stages.index(of(stages, "search"))] = made_up

    reforged(store, lineage, change)
    assert "there is no stage of the kind imported" in reasons(store)


def test_the_variant_s_own_evaluation_is_not_the_source_s(store: Path, lineage: str) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        judged(stages)["dense"] = judged(stages)["pruned"]

    reforged(store, lineage, change)
    assert "its gate judged evaluations (dense) that are not those of source and variant" in reasons(store)


@pytest.mark.parametrize("told", [{"checkpoint": "0" * 64}, {"windows_sha256": "0" * 64}, {"num_expected": 30}])
def test_an_evaluation_of_something_else_than_was_asked_for_is_found(
    store: Path, lineage: str, told: dict[str, Any]
) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        pruned = judged(stages)["pruned"]
        value = value_of(stages, pruned, store) | told
        value["losses"] = value["losses"][: value["num_expected"]]
        replaced(stages, pruned, value, put, renamed)

    reforged(store, lineage, change)
    assert "it is of another model or text, or less, than its stage" in reasons(store)


def test_a_verdict_that_does_not_follow_is_found(store: Path, lineage: str) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        verdict = of(stages, "gate")["outputs"]["verdict"]["sha256"]
        value = value_of(stages, verdict, store)
        value["criteria"][0]["bound"] = 1.01
        replaced(stages, verdict, value, put, renamed)

    reforged(store, lineage, change)
    assert "derived again, its verdict differs at criteria[0].bound" in reasons(store)


def test_a_plan_that_does_not_follow_from_the_trials_is_found(store: Path, lineage: str) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        plan = of(stages, "search")["outputs"]["plan"]["sha256"]
        value = value_of(stages, plan, store)
        value["proposals"] = value["proposals"][:1]
        replaced(stages, plan, value, put, renamed)

    reforged(store, lineage, change)
    assert "derived again, its plan differs" in reasons(store)


def test_another_model_s_files_are_not_the_source(store: Path, lineage: str) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        checkpoint = of(stages, "fetch")["outputs"]["checkpoint"]
        renamed[checkpoint["sha256"]] = "1" * 64
        for path in (store / checkpoint["key"]).iterdir():
            target = store / "checkpoints" / ("1" * 64) / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
        checkpoint.update(key=f"checkpoints/{'1' * 64}", sha256="1" * 64)

    reforged(store, lineage, change)
    assert "its files are not those that its name is the digest of" in reasons(store)


@pytest.mark.parametrize(
    ("where", "name", "value", "said"),
    [
        ("resolvedDependencies", "uri", "pkg:huggingface/o/n@c", "what it names as taken and made"),
        ("seeds", "calibration", 7, "its seeds are not those of its spec"),
        ("remove", "remove", 1, "its plan removes another number of blocks"),
        ("window_tokens", "window_tokens", 64, "was given window_tokens 32, and 64 was asked for"),
        ("keptBlocks", "", [0, 1, 2, 3], "the record's map of kept blocks is not the plan's"),
    ],
)
def test_a_record_that_claims_something_else_than_was_done_is_found(
    store: Path, lineage: str, where: str, name: str, value: Any, said: str
) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        definition = record["predicate"]["buildDefinition"]
        spec, inside = definition["externalParameters"]["spec"], definition["internalParameters"]
        places: dict[str, Any] = {
            "resolvedDependencies": definition["resolvedDependencies"][0],
            "seeds": inside["seeds"],
            "remove": spec["pruning"],
            "window_tokens": spec["calibration"],
        }
        if where == "keptBlocks":
            inside["keptBlocks"] = value
        else:
            places[where][name] = value

    reforged(store, lineage, change)
    assert said in reasons(store)


def entries(store: Path) -> Path:
    return store / "ledger" / "pico"


def test_a_rollback_to_where_the_alias_never_was_is_found(store: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        if entry["change"]["act"] == "rolled-back":
            entry["change"]["alias"] = "staging"

    rewritten(entries(store), change)
    assert "staging never stood for the version that it goes back to" in reasons(store)


def test_a_promotion_for_which_nothing_was_decided_is_found(store: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        if entry["change"]["act"] == "promoted":
            entry["change"]["decision"] = None

    rewritten(entries(store), change)
    assert "nothing was decided for this promotion" in reasons(store)


@pytest.mark.parametrize("change", [{"conditions": []}, {"production": 7}, {"version": 9}])
def test_a_decision_that_does_not_allow_its_promotion_is_found(store: Path, change: dict[str, Any]) -> None:
    def decided(entry: dict[str, Any]) -> None:
        if entry["change"]["act"] == "promoted":
            value = json.loads((store / "values" / f"{entry['change']['decision']}.json").read_bytes())
            data = canonical_json(value | change)
            (store / "values" / f"{digest_bytes(data)}.json").write_bytes(data)
            entry["change"]["decision"] = digest_bytes(data)

    rewritten(entries(store), decided)
    said = reasons(store)
    assert "it does not allow the promotion" in said or "it does not decide for entry" in said


def test_a_rejection_that_is_told_as_an_approval_is_found(store: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        if entry["change"]["act"] == "rejected":
            entry["change"].update(act="registered", version=3)

    rewritten(entries(store), change)
    assert "it is another version's" in reasons(store)


def test_a_rejection_that_was_cut_off_is_missed(store: Path) -> None:
    paths = sorted(entries(store).iterdir())
    rejected = next(path for path in paths if b'"rejected"' in path.read_bytes())
    for path in paths[paths.index(rejected) :]:
        path.unlink()
    assert "the ledger lacks a rejected variant, which was registered" in reasons(store)


HOSTILE: dict[str, Any] = {
    "huge number": lambda record: record["predicate"]["runDetails"]["builder"]["version"].update(lorp=1e308),
    "no stages": lambda record: record["predicate"]["buildDefinition"]["internalParameters"].update(stages=[]),
    "list for a spec": lambda record: record["predicate"]["buildDefinition"]["externalParameters"].update(spec=[]),
    "no compute": lambda record: record["predicate"]["buildDefinition"]["internalParameters"].pop("compute"),
    "address elsewhere": lambda record: record["predicate"]["runDetails"]["byproducts"][-1].update(uri="store:../../x"),
    "no address": lambda record: record["predicate"]["runDetails"]["byproducts"][-1].pop("uri"),
    "unhashable": lambda record: record["predicate"]["buildDefinition"]["internalParameters"]["stages"][-1][
        "inputs"
    ].update(variant=[1]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_record_that_is_none_is_named_and_ends_nothing(store: Path, lineage: str, kind: str) -> None:
    def change(record: Any, stages: Stages, put: Put, renamed: dict[str, str]) -> None:
        HOSTILE[kind](record)

    reforged(store, lineage, change)
    audited = audit(FolderStore(store), AuditRequest(target=None))
    assert audited.found.faults
    assert ("pico 2", "verdict from the evaluations") in {(step.about, step.name) for step in audited.found.steps}


def test_what_lies_in_a_store_may_have_any_name(store: Path) -> None:
    weights = next(store.glob("variants/*/model.safetensors"))
    for name in (
        "stages/._prune-v2-" + "0" * 64 + ".json",
        "ledger/pico/._00000001.json",
        "ledger/pico/999999999999.json",
        "ledger/.DS_Store",
        "values/.DS_Store",
        f"variants/{weights.parent.name}/.DS_Store",
        "signatures/x",
    ):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(b"")
    named = {fault.object for fault in audit(FolderStore(store), AuditRequest(target=None)).found.faults}
    assert named == {
        "ledger/pico/._00000001.json",
        "ledger/pico/999999999999.json",
        f"variants/{weights.parent.name}/.DS_Store",
    }


def test_links_out_of_the_store_are_not_followed(store: Path, tmp_path: Path) -> None:
    folder = next(store.glob("variants/*"))
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert f"{folder.relative_to(store)}/model.safetensors" in {
        fault.object for fault in audit(FolderStore(store), AuditRequest(target=None)).found.faults
    }
    inner = next(path for path in store.glob("variants/*") if not path.is_symlink())
    (inner / "more").symlink_to(tmp_path)
    assert f"{inner.relative_to(store)}/more" in {
        fault.object for fault in audit(FolderStore(store), AuditRequest(target=None)).found.faults
    }


def test_a_byte_that_changed_is_named_where_numbers_come_out_otherwise(
    store: Path, lineage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that adds up in another order, so that nothing is the same byte for byte."""
    import tasks.plan

    real = tasks.plan.rls
    monkeypatch.setattr("lorp.similarity.rls", lambda matrix: real(matrix) * (1 + 1e-13))
    assert reasons(store) == ""
    record = json.loads((store / "values" / f"{lineage}.json").read_bytes())
    stages = record["predicate"]["buildDefinition"]["internalParameters"]["stages"]
    similarity = store / of(stages, "score")["outputs"]["similarity"]["key"]
    overwrite(similarity, similarity.read_bytes()[:-1] + b" ")
    named = {fault.object for fault in audit(FolderStore(store), AuditRequest(target=None)).found.faults}
    assert str(similarity.relative_to(store)) in named
