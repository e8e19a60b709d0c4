"""Promotion and rollback from the command line: the ledger says so first, the alias follows, nothing else moves it."""

import errno
import json
import shutil
import time
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import datetime, tzinfo
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from addresses import spoil
from mlflow import MlflowClient
from pico import NUM_BLOCKS
from support import PICO_OPTIONS, Lorp, Result
from transformers import AutoModelForCausalLM

import tasks.aliases
from flows.cli import run
from lorp.errors import RegistryError
from lorp.ledger import Entry, standing
from lorp.promotion import Decision, Known
from lorp.spec import ComputeSpec
from lorp.values import decode
from tasks.aliases import follow
from tasks.ledger import read_ledger, record
from tasks.ledger_versions import read_version
from tasks.promotion import learn
from tasks.store import FolderStore
from tasks.vault import Vault, open_vault

LOOSE, TIGHT = "--max-perplexity-ratio=100", "--max-perplexity-ratio=0.5"
ANYTHING_GOES = {"max-ratio-to-production": 100}


@pytest.fixture(scope="module")
def registered(
    pico: Path, prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """A home with two approved versions, 1 without 2 blocks and 2 without 1; and what came of the two runs."""
    template = tmp_path_factory.mktemp("registered")
    outcomes = []
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LORP_HOME", str(template))
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        for count in (2, 1):
            out = StringIO()
            with redirect_stdout(out):
                words = ["recompress", str(pico), f"--remove={count}", "--name=pico", *PICO_OPTIONS, "--json", LOOSE]
                assert run(words) == 0
            outcomes.append(json.loads(out.getvalue()))
    return template, outcomes


@pytest.fixture
def versions(registered: tuple[Path, list[dict[str, Any]]], home: Path) -> list[dict[str, Any]]:
    """The two versions, in the home of this test."""
    template, outcomes = registered
    shutil.copytree(template, home)
    return outcomes


@pytest.fixture
def promote(lorp: Lorp, tmp_path: Path, prefect_server: None) -> Lorp:
    def call(version: object, policy: dict[str, Any] | None = None, *words: object) -> Result:
        (tmp_path / "policy.yaml").write_text(json.dumps(ANYTHING_GOES | (policy or {})))
        return lorp(
            "promote", "pico", f"--version={version}", f"--policy={tmp_path / 'policy.yaml'}", "--json", *words
        )  # fmt: skip

    return call


def vault(home: Path) -> Vault:
    return open_vault(str(home / "store"))


def ledger(home: Path) -> tuple[Entry, ...]:
    return read_ledger(vault(home), "pico")


def client(home: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")


def production(home: Path) -> int | None:
    found = client(home).get_registered_model("pico").aliases.get("production")
    return int(found) if found else None


def conditions(result: Result) -> dict[str, bool]:
    return {condition["name"]: condition["passed"] for condition in result.json["conditions"]}


def test_a_registered_version_is_entered_once(versions: list[dict[str, Any]], recompress: Lorp, home: Path) -> None:
    recompress(LOOSE)
    assert recompress(TIGHT).status == 3
    first, second, rejected = ledger(home)
    assert recompress(TIGHT).status == 3
    assert len(ledger(home)) == 3
    assert (rejected.change.act, rejected.change.version) == ("rejected", None)
    assert (first.change.act, first.change.version, first.change.alias) == ("registered", 1, None)
    assert first.change.variant == versions[0]["variant"]["digest"]
    assert first.change.verdict == versions[0]["verdict"]["id"]
    assert versions[0]["lineage"].endswith(f"{first.change.lineage}.json")
    assert second.change.version == 2


def test_a_version_is_promoted_and_rolled_back(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path
) -> None:
    first = promote(1, None, "--by=ada", "--reason=first one")
    assert (first.status, first.json["state"], first.json["before"]) == (0, "Promoted", None)
    assert production(home) == 1
    entry = ledger(home)[-1]
    assert (entry.change.asked_by, entry.change.reason, entry.change.alias) == ("ada", "first one", "production")
    assert entry.change.flow_run == first.json["run"]
    decision = decode(Decision, vault(home).read_value(str(entry.change.decision)))
    assert decision.allowed
    assert decision.verdict == versions[0]["verdict"]["id"]

    second = promote("candidate")
    assert (second.json["version"], second.json["before"], production(home)) == (2, 1, 2)
    assert promote(2).json["state"] == "Unchanged"
    assert len(ledger(home)) == 4

    back = lorp("rollback", "pico", "--by=ada", "--json")
    assert (back.status, back.json["version"], back.json["before"], production(home)) == (0, 1, 2, 1)
    assert ledger(home)[-1].change.act == "rolled-back"
    again = lorp("rollback", "pico")
    assert again.status == 2
    assert "has no version to go back to" in again.err
    assert len(ledger(home)) == 5


def test_a_version_much_worse_than_production_is_refused(
    versions: list[dict[str, Any]], promote: Lorp, home: Path
) -> None:
    assert promote(2).status == 0
    worse = promote(1, {"max-ratio-to-production": 0.5})
    assert (worse.status, worse.json["state"], production(home)) == (3, "Refused", 2)
    assert conditions(worse) == {"approved": True, "verified": True, "age_days": True, "ratio_to_production": False}
    value = next(each["value"] for each in worse.json["conditions"] if each["name"] == "ratio_to_production")
    assert value == pytest.approx(versions[0]["perplexity"]["pruned"] / versions[1]["perplexity"]["pruned"])
    assert [entry.change.version for entry in ledger(home)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("policy", "failed"),
    [
        ({"gate": {"max-perplexity-ratio": 2}}, "gate"),
        ({"max-age-days": 1e-9}, "age_days"),
        ({"canaries": [{"prompt": "one", "contains": ["no such text"]}]}, "failed_canaries"),
    ],
)
def test_each_condition_refuses(
    versions: list[dict[str, Any]], promote: Lorp, home: Path, policy: dict[str, Any], failed: str
) -> None:
    refused = promote(1, policy)
    assert (refused.status, production(home)) == (3, None)
    assert [name for name, passed in conditions(refused).items() if not passed] == [failed]
    assert len(ledger(home)) == 2


def test_an_evaluation_of_a_year_from_now_is_no_fresh_one(
    versions: list[dict[str, Any]], promote: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LongAgo(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "LongAgo":
            return cls.fromtimestamp(time.time() - 365 * 86400, tz)

    monkeypatch.setattr("tasks.promotion.datetime", LongAgo)
    refused = promote(1)
    assert (refused.status, production(home)) == (3, None)
    assert [name for name, passed in conditions(refused).items() if not passed] == ["age_days"]


def test_what_canaries_answered_is_kept(versions: list[dict[str, Any]], promote: Lorp) -> None:
    done = promote(1, {"canaries": [{"prompt": "one", "excludes": ["no such text"]}], "max-new-tokens": 8})
    assert done.status == 0
    [answer] = done.json["answers"]
    assert answer["passed"]
    assert answer["text"]


def test_what_does_not_verify_is_refused(versions: list[dict[str, Any]], promote: Lorp, home: Path) -> None:
    spoil(vault(home).store.address(f"variants/{versions[0]['variant']['digest']}/model.safetensors"))
    refused = promote(1)
    assert refused.status == 3
    assert conditions(refused)["verified"] is False
    assert production(home) is None


def test_a_crash_between_ledger_and_alias_is_mended_by_the_next_command(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(1)
    with monkeypatch.context() as broken:
        broken.setattr("flows.promotion.follow", failing)
        assert promote(2).status == 1
    assert (ledger(home)[-1].change.version, production(home)) == (2, 1)
    assert promote(2).json["state"] == "Unchanged"
    assert production(home) == 2
    assert len(ledger(home)) == 4


def test_reconcile_mends_what_a_crash_left_and_only_tells_what_others_moved(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path
) -> None:
    promote(1)
    promote(2)
    assert lorp("reconcile").out == "all aliases are where their ledgers say\n"
    client(home).set_registered_model_alias("pico", "production", "1")
    behind = lorp("reconcile", "--json")
    assert (behind.status, production(home)) == (0, 2)
    assert behind.json["found"] == [
        {"name": "pico", "alias": "production", "ledger": 2, "registry": 1, "cause": "behind", "mended": True}
    ]
    lorp("rollback", "pico")
    promote(2)
    promote(1)
    client(home).delete_registered_model_alias("pico", "production")
    moved = lorp("reconcile", "--json")
    assert (moved.status, moved.json["found"][0]["cause"], production(home)) == (3, "moved", None)
    restored = lorp("reconcile", "--restore")
    assert (restored.status, production(home)) == (0, 1)
    assert "pico@production was nothing and not version 1" in restored.out
    assert lorp("reconcile", "--json").json["found"] == []


def test_a_version_is_pulled_whole_and_checked(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path, tmp_path: Path
) -> None:
    promote(1)
    there = tmp_path / "serving" / "model"
    done = lorp("pull", "pico@production", f"--to={there}", "--json")
    assert (done.status, done.json["version"]) == (0, 1)
    assert done.json["variant"] == versions[0]["variant"]["digest"]
    assert AutoModelForCausalLM.from_pretrained(there).config.num_hidden_layers == NUM_BLOCKS - 2
    assert lorp("pull", "pico@1", f"--to={there}").status == 0
    other = lorp("pull", "pico@candidate", f"--to={there}")
    assert (other.status, other.out) == (2, "")
    assert "holds something else" in other.err
    assert [path.name for path in there.parent.iterdir()] == ["model"]
    assert lorp("pull", "pico@candidate", f"--to={tmp_path / 'second'}", "--json").json["version"] == 2


def test_two_pulls_into_one_folder_leave_one_whole(
    versions: list[dict[str, Any]], lorp: Lorp, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, copyfile, copied, second = tmp_path / "model", shutil.copyfile, list[str](), list[Result]()

    def copy(source: Path, target: Path) -> object:
        copied.append(source.name)
        if len(copied) == 3:
            second.append(lorp("pull", "pico@2", f"--to={there}"))
        return copyfile(source, target)

    with monkeypatch.context() as interrupted:
        interrupted.setattr("tasks.pull.shutil.copyfile", copy)
        first = lorp("pull", "pico@1", f"--to={there}")
    assert (first.status, second[0].status) == (2, 0)
    assert "holds something else by now" in first.err
    assert lorp("pull", "pico@2", f"--to={there}").status == 0


def test_a_pull_goes_on_where_it_was_interrupted(
    versions: list[dict[str, Any]], lorp: Lorp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    copyfile = shutil.copyfile

    def copy(source: Path, target: Path) -> object:
        if len(copied) == 2:
            raise KeyboardInterrupt
        copied.append(source.name)
        return copyfile(source, target)

    with monkeypatch.context() as interrupted:
        interrupted.setattr("tasks.pull.shutil.copyfile", copy)
        stopped = lorp("pull", "pico@1", f"--to={tmp_path / 'model'}")
        assert (stopped.status, "run the same command again to resume" in stopped.err) == (130, True)
    assert not (tmp_path / "model").exists()
    first = list(copied)
    copied[:] = []
    monkeypatch.setattr("tasks.pull.shutil.copyfile", lambda one, two: (copied.append(one.name), copyfile(one, two)))
    (tmp_path / "model").mkdir()
    assert lorp("pull", "pico@1", f"--to={tmp_path / 'model'}").status == 0
    assert copied
    assert not set(first) & set(copied)


@pytest.mark.parametrize(
    ("address", "said"),
    [("pico", "names no version"), ("pico@staging", "has no version in staging"), ("pico@9", "has no version 9")],
)
def test_what_cannot_be_pulled_is_said(
    versions: list[dict[str, Any]], lorp: Lorp, tmp_path: Path, address: str, said: str
) -> None:
    done = lorp("pull", address, f"--to={tmp_path / 'model'}")
    assert done.status == 2
    assert said in done.err
    assert not (tmp_path / "model").exists()


def test_a_pull_by_an_alias_that_is_not_where_the_ledger_says_is_refused(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path, tmp_path: Path
) -> None:
    promote(1)
    client(home).set_registered_model_alias("pico", "production", "2")
    done = lorp("pull", "pico@production", f"--to={tmp_path / 'model'}")
    assert done.status == 1
    assert "is version 2 in the registry, and version 1 in the ledger" in done.err


def test_a_changed_file_is_not_pulled(versions: list[dict[str, Any]], lorp: Lorp, home: Path, tmp_path: Path) -> None:
    spoil(vault(home).store.address(f"variants/{versions[0]['variant']['digest']}/model.safetensors"))
    done = lorp("pull", "pico@1", f"--to={tmp_path / 'model'}")
    assert done.status == 1
    assert "gone or has changed" in done.err
    assert not (tmp_path / "model").exists()


def test_a_store_that_is_only_read_is_pulled_from(
    versions: list[dict[str, Any]], lorp: Lorp, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("prepare", "create", "move", "remove", "scratch"):
        monkeypatch.setattr(FolderStore, name, forbidden)
    assert lorp("pull", "pico@1", f"--to={tmp_path / 'model'}").status == 0
    weights = f"variants/{versions[0]['variant']['digest']}/model.safetensors"
    spoil((home / "store" / weights).as_uri())
    done = lorp("pull", "pico@1", f"--to={tmp_path / 'spoilt'}")
    assert (done.status, f"{weights} is gone or has changed" in done.err) == (1, True)
    assert (home / "store" / weights).is_file()


@pytest.mark.parametrize(
    "words", [("promote", "pico"), ("rollback", "pico"), ("reconcile",), ("pull", "pico@1", "--to=model")]
)
def test_a_store_that_is_not_there_is_said_and_not_made(
    words: tuple[str, ...], home: Path, lorp: Lorp, tmp_path: Path
) -> None:
    done = lorp(*words, f"--store={tmp_path / 'mistyped'}")
    assert done.status == 2
    assert f"there is no store at {tmp_path / 'mistyped'}" in done.err
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.parametrize("name", ["n" * 250, "n" * 300])
def test_a_folder_whose_name_is_too_long_is_said(
    versions: list[dict[str, Any]], lorp: Lorp, tmp_path: Path, name: str
) -> None:
    done = lorp("pull", "pico@1", f"--to={tmp_path / name}")
    assert (done.status, "cannot be written: File name too long" in done.err) == (2, True)


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_pulled_in_place_of_a_mount_point(
    versions: list[dict[str, Any]], lorp: Lorp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    def rename(_: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", str(target))

    (tmp_path / "model").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: known and path.name == "model")
    monkeypatch.setattr(Path, "rename", rename)  # as of what another folder of the same file system is mounted on
    done = lorp("pull", "pico@1", f"--to={tmp_path / 'model'}")
    assert (done.status, "is a mount point" in done.err, f"{tmp_path / 'model'}/model" in done.err) == (2, True, True)
    assert not list(tmp_path.glob(".*"))
    assert not list((tmp_path / "model").iterdir())


def test_what_was_decided_beside_another_version_is_decided_anew(
    versions: list[dict[str, Any]], promote: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn_late(*arguments: Any) -> Known:
        known = learn(*arguments)
        if len(ledger(home)) == 2:
            other = ledger(home)[1].change
            change = replace(other, act="promoted", alias="production", flow_run="another")
            record(vault(home), "pico", lambda _: change)
        return known

    monkeypatch.setattr("flows.promote.learn", learn_late)
    done = promote(1)
    assert (done.json["state"], done.json["before"], production(home)) == ("Promoted", 2, 1)
    assert "ratio_to_production" in conditions(done)
    assert [entry.change.version for entry in ledger(home)[2:]] == [2, 1]


def test_a_rollback_that_comes_late_goes_no_further_back(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2, 1):
        promote(version)

    def check_late(*arguments: Any) -> None:
        if len(ledger(home)) == 5:
            change = replace(ledger(home)[1].change, act="rolled-back", alias="production", flow_run="another")
            record(vault(home), "pico", lambda _: change)

    monkeypatch.setattr("flows.rollback.check_known", check_late)
    done = lorp("rollback", "pico", "--json")
    assert (done.json["state"], done.json["version"], production(home)) == ("Unchanged", 2, 2)
    assert len(ledger(home)) == 6


def test_an_interrupted_rollback_is_finished_and_goes_no_further(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2, 1, 2):
        promote(version)
    with monkeypatch.context() as broken:
        broken.setattr("flows.promotion.follow", failing)
        assert lorp("rollback", "pico").status == 1
    assert (ledger(home)[-1].change.act, production(home)) == ("rolled-back", 2)
    again = lorp("rollback", "pico", "--json")
    assert (again.status, again.json["version"], production(home)) == (0, 1, 1)
    assert (again.json["state"], again.json["entry"]) == ("Finished", ledger(home)[-1].sequence)
    assert len(ledger(home)) == 7
    assert lorp("rollback", "pico", "--json").json["version"] == 2


def failing(*_: object) -> None:
    raise RegistryError("MLflow is gone", "Look at it")


def test_a_retry_does_not_undo_what_others_did_meanwhile(
    versions: list[dict[str, Any]], promote: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(1)

    def follow_late(*arguments: Any) -> object:
        if len(ledger(home)) == 4:
            back = replace(ledger(home)[0].change, act="rolled-back", alias="production", flow_run="another")
            record(vault(home), "pico", lambda _: back)
            failing()
        return follow(*arguments)

    monkeypatch.setattr("flows.promotion.follow", follow_late)
    assert promote(2).status == 0
    assert [entry.change.act for entry in ledger(home)[2:]] == ["promoted", "promoted", "rolled-back"]
    assert production(home) == 1


def test_a_refused_promotion_mends_what_a_crash_left_too(
    versions: list[dict[str, Any]], promote: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("flows.promotion.follow", failing)
        promote(2)
    assert production(home) is None
    assert promote(1, {"max-age-days": 1e-9}).status == 3
    assert production(home) == 2


def test_a_name_that_cannot_be_looked_at_does_not_hide_the_others(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path
) -> None:
    promote(1)
    promote(2)
    client(home).set_registered_model_alias("pico", "production", "1")
    record(vault(home), "broken", lambda _: ledger(home)[0].change)
    spoil(vault(home).store.address("ledger/broken/00000001.json"))
    done = lorp("reconcile", "--json")
    assert (done.status, production(home)) == (3, 2)
    assert list(done.json["faults"]) == ["broken"]


def test_a_record_that_is_not_the_version_s_own_is_refused(
    versions: list[dict[str, Any]], promote: Lorp, lorp: Lorp, home: Path, tmp_path: Path
) -> None:
    first, second = (entry.change for entry in ledger(home))
    for version, change in ((3, replace(first, version=3)), (4, replace(second, version=4, variant=first.variant))):
        record(vault(home), "pico", lambda _, change=change: change)
        for done in (promote(version), lorp("pull", f"pico@{version}", f"--to={tmp_path / 'model'}")):
            assert done.status == 1
            assert f"the lineage record of pico {version} " in done.err
    assert production(home) is None


def test_a_device_that_is_not_here_is_done_without(
    versions: list[dict[str, Any]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = read_version(vault(home), standing(ledger(home)), "pico", 1)
    assert version.compute_spec.device == "cpu"
    compute = version.spec.compute.model_copy(update={"device": "cuda:7", "dtype": "bfloat16"})
    spec = version.spec.model_copy(update={"compute": compute})
    elsewhere = replace(version, run=replace(version.run, spec=spec))
    assert elsewhere.compute_spec == ComputeSpec(device="cpu", dtype="bfloat16")


def test_an_alias_that_was_moved_from_outside_is_put_where_the_ledger_says(
    versions: list[dict[str, Any]], promote: Lorp, home: Path
) -> None:
    promote(1)
    client(home).set_registered_model_alias("pico", "production", "2")
    assert promote(1).json["state"] == "Unchanged"
    assert production(home) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "pico", "--version=7"], "has no version 7"),
        (["promote", "pico", "--version=first"], "is no version"),
        (["promote", "pico", "--to=candidate"], "to = 'candidate' is not allowed"),
        (["promote", "nobody"], "nobody has no candidate"),
        (["promote", "../pico"], "name = '../pico' is not allowed"),
        (["rollback", "pico"], "has no version to go back to"),
        (["rollback", "pico", "--version=1"], "cannot go back to version 1"),
    ],
)
def test_what_cannot_be_moved_is_said_in_one_line(
    versions: list[dict[str, Any]], lorp: Lorp, home: Path, words: list[str], said: str
) -> None:
    done = lorp(*words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]
    assert len(ledger(home)) == 2


def test_a_policy_that_asks_for_a_person_waits_for_one(
    versions: list[dict[str, Any]], promote: Lorp, home: Path
) -> None:
    done = promote(1, {"approval": True})
    assert done.status == 2
    assert "asks for a person's approval" in done.err
    assert production(home) is None
    promote(1)
    assert promote(1, {"approval": True, "max-age-days": 1e-9}).json["state"] == "Unchanged"


@pytest.mark.parametrize("policy", [{"max-age": 3}, {"max-age-days": -1}, {"canaries": [{"prompt": "one"}]}])
def test_a_mistake_in_a_policy_is_said(versions: list[dict[str, Any]], promote: Lorp, policy: dict[str, Any]) -> None:
    done = promote(1, policy)
    assert done.status == 2
    assert "is not allowed" in done.err


def test_aliases_of_a_name_that_the_registry_does_not_know(versions: list[dict[str, Any]], home: Path) -> None:
    from tasks.workspace import workspace

    assert tasks.aliases.aliases(workspace(), "nobody") == {}


def test_a_version_of_another_registry_is_neither_entered_nor_moved(
    versions: list[dict[str, Any]], recompress: Lorp, promote: Lorp, lorp: Lorp, home: Path, tmp_path: Path
) -> None:
    (home / "mlflow.db").unlink()
    done = recompress(LOOSE, "--remove=1")
    assert (done.status, done.json["model_version"]) == (0, 1)
    assert "not entered in the ledger" in done.err
    assert len(ledger(home)) == 2
    refused = promote(1)
    pulled = lorp("pull", "pico@candidate", f"--to={tmp_path / 'model'}")
    for other in (refused, pulled):
        assert other.status == 1
        assert "is not the one in the ledger" in other.err
    assert (production(home), len(ledger(home))) == (None, 2)
