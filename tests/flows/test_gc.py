"""`lorp gc`: what a registered version rests on stays to the byte, what nothing reaches goes, whatever happens."""

import json
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from addresses import overwrite, remove, spoil
from servers import free_port
from support import PICO_OPTIONS, Lorp

from flows.cli import run
from lorp.digest import canonical_json, digest_value
from lorp.errors import IntegrityError, LorpError, RegistryError, SpecError
from lorp.ledger import standing
from tasks.collecting import plan_collection, remove_unreached
from tasks.keeping import KINDS, Plan, oldest_kept
from tasks.ledger import read_ledger
from tasks.ledger_versions import fault_of, read_version
from tasks.records import read_record
from tasks.store import open_store
from tasks.tracking import VersionInRegistry
from tasks.usage import mark_used
from tasks.vault import Manifest, Vault
from tasks.workspace import workspace

LATER = datetime.now(UTC) + timedelta(days=40)
BEFORE = oldest_kept(LATER, 30)
OTHER_SETTINGS = ("--remove=1", "--max-perplexity-ratio=0.5", "--seed=7")


def asked(pico: Path, *options: str) -> list[str]:
    return ["recompress", str(pico), "--remove=2", "--name=pico", *PICO_OPTIONS, "--speed-rounds=0", "--json", *options]


@pytest.fixture(scope="module")
def template(pico: Path, prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home with a version in production, a rejected run and one with other settings; what those came to."""
    home = tmp_path_factory.mktemp("template")
    runs = {
        "approved": ["--max-perplexity-ratio=100"],
        "rejected": ["--max-perplexity-ratio=0.5", "--remove=3"],
        "other": list(OTHER_SETTINGS),
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LORP_HOME", str(home))
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        outcomes = {name: said(*asked(pico, *options)) for name, options in runs.items()}
        said("promote", "pico", "--json")
    return home, outcomes


def said(*words: str) -> dict[str, Any]:
    out = StringIO()
    with redirect_stdout(out):
        assert run(list(words)) in (0, 3)
    value: dict[str, Any] = json.loads(out.getvalue())
    return value


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The template in a home and a store of this test's own."""

    store: str
    outcomes: dict[str, Any]

    @property
    def vault(self) -> Vault:
        """As another process sees it."""
        return Vault(open_store(self.store))

    def plan(self) -> Plan:
        """In forty days."""
        return plan_collection(workspace(self.store), self.vault, BEFORE)

    def collect(self) -> None:
        """In forty days."""
        remove_unreached(self.vault, self.plan())

    @property
    def keys(self) -> list[str]:
        store = open_store(self.store)
        return [key for kind in (*KINDS, "ledger", "claims", "promotions", "watch") for key in store.keys(kind)]

    def manifest(self, outcome: str, stage: str) -> Manifest:
        """That of a stage in the lineage record of a run."""
        lineage = Path(self.outcomes[outcome]["lineage"]).name
        record = json.loads(self.vault.store.read(f"values/{lineage}"))
        stages = record["predicate"]["buildDefinition"]["internalParameters"]["stages"]
        key = next(entry["key"] for entry in stages if entry["stage"] == stage)
        found = self.vault.result(key)
        assert found
        return found


@pytest.fixture(params=["folder", "s3"])
def kept(request: pytest.FixtureRequest, template: tuple[Path, dict[str, Any]], home: Path) -> Iterator[Kept]:
    shutil.copytree(template[0], home)
    if request.param == "folder":
        yield Kept(store=str(home / "store"), outcomes=template[1])
        return
    address, root = request.getfixturevalue("prefix"), home / "store"
    store = open_store(address)
    for path in sorted(root.rglob("*")):
        if path.is_file() and ".scratch" not in path.parts:
            store.create(str(path.relative_to(root)), path.read_bytes())
    shutil.rmtree(root)
    yield Kept(store=address, outcomes=template[1])


@pytest.fixture
def folder(template: tuple[Path, dict[str, Any]], home: Path) -> Kept:
    shutil.copytree(template[0], home)
    return Kept(store=str(home / "store"), outcomes=template[1])


def needed(vault: Vault, rejected: bool = True) -> set[str]:
    """Keys of all that the ledger's versions rest on, and of the evidence for its rejections."""
    entries = read_ledger(vault, "pico")
    keys = {f"values/{entry.change.decision}.json" for entry in entries if entry.change.decision}
    for lineage, version in {entry.change.lineage: entry.change.version for entry in entries}.items():
        manifests = {m.key: m for m in read_record(vault, "pico", lineage).manifests}
        for key in vault.store.keys("stages"):
            found = vault.result(Path(key).stem)
            if found and found.outputs.get("lineage") and found.outputs["lineage"].sha256 == lineage:
                manifests[found.key] = found
        outputs = {key for m in manifests.values() for each in m.outputs.values() for key, _ in each.objects()}
        if version:
            keys |= {f"stages/{key}.json" for key in manifests} | outputs
        elif rejected:
            keys |= {f"stages/{m.key}.json" for m in manifests.values() if not makes_weights(m)}
            keys |= {key for key in outputs if not is_weights(key)}
    return keys


def makes_weights(manifest: Manifest) -> bool:
    return any(is_weights(made.key) for made in manifest.outputs.values())


def is_weights(key: str) -> bool:
    return key.partition("/")[0] in ("checkpoints", "variants", "patches")


def test_a_dry_run_changes_nothing_and_what_is_recent_stays(kept: Kept, lorp: Lorp) -> None:
    before = kept.keys
    dry = lorp("gc", f"--store={kept.store}", "--json")
    assert dry.status == 0
    assert dry.json["deleted"] is False
    assert sum(kind["objects"] for kind in dry.json["removed"].values()) == 0
    assert {kind for kind, count in dry.json["kept"].items() if count["objects"]} >= {"variants", "captures", "stages"}
    assert lorp("gc", f"--store={kept.store}", "--delete", "--keep-days=0").status == 0
    assert kept.plan().doomed
    assert kept.keys == before


def test_what_versions_rest_on_stays_to_the_byte_and_the_rest_goes(
    kept: Kept, lorp: Lorp, pico: Path, tmp_path: Path
) -> None:
    records = {key for key in kept.keys if key.startswith(("ledger/", "claims/", "promotions/"))}
    expected = needed(kept.vault)
    removed = kept.manifest("rejected", "evaluate")
    kept.collect()
    assert set(kept.keys) == expected | records
    vault = kept.vault
    assert fault_of(vault, read_version(vault, standing(read_ledger(vault, "pico")), "pico", 1)) is None
    done = lorp("pull", "pico@production", f"--to={tmp_path / 'model'}", f"--store={kept.store}", "--json")
    assert done.json["variant"] == kept.outcomes["approved"]["variant"]["digest"]
    promoted = lorp("promote", "pico", "--version=1", "--to=staging", f"--store={kept.store}", "--json")
    assert (promoted.status, promoted.json["state"]) == (0, "Promoted")
    again = lorp(*asked(pico, "--max-perplexity-ratio=0.5", "--remove=3", f"--store={kept.store}"))
    assert again.status == 3
    assert again.json["verdict"] == kept.outcomes["rejected"]["verdict"]
    assert kept.vault.result(removed.key)
    assert not kept.vault.store.keys("quarantine")


def test_all_that_lorp_stores_is_of_a_known_kind(folder: Kept) -> None:
    found = {path.name for path in Path(folder.store).iterdir()}
    assert found - {*KINDS, "ledger", "claims", "promotions", "watch", ".scratch"} == set()


def test_what_was_used_lately_stays_with_all_that_it_names(kept: Kept) -> None:
    used = kept.manifest("rejected", "evaluate")
    mark_used(kept.vault, used.key, (LATER - timedelta(days=3)).date())
    mark_used(kept.vault, used.key, (LATER - timedelta(days=33)).date())
    kept.collect()
    assert kept.vault.result(used.key) == used
    checkpoint = next(key for key in kept.keys if used.inputs["checkpoint"] in key)
    assert checkpoint.startswith(("checkpoints/", "variants/"))
    assert kept.vault.store.keys("used") == [f"used/{used.key}/{(LATER - timedelta(days=3)).date()}"]


def test_a_run_that_reuses_old_results_leaves_a_trace_of_each(folder: Kept, pico: Path, lorp: Lorp) -> None:
    assert lorp(*asked(pico, "--max-perplexity-ratio=100")).status == 0
    assert folder.vault.store.keys("used") == []  # young ones need none
    for path in (Path(folder.store) / "stages").iterdir():
        body = json.loads(path.read_bytes())["manifest"] | {"created": "2026-01-01T00:00:00+00:00"}
        path.write_bytes(canonical_json({"manifest": body, "sha256": digest_value(body)}))
    assert lorp(*asked(pico, "--max-perplexity-ratio=100")).status == 0
    lineage = json.loads(folder.vault.store.read(f"values/{Path(folder.outcomes['approved']['lineage']).name}"))
    traces = {key.split("/")[1] for key in folder.vault.store.keys("used")}
    assert traces >= {entry["key"] for entry in lineage["predicate"]["buildDefinition"]["internalParameters"]["stages"]}
    assert {key.split("/")[2] for key in folder.vault.store.keys("used")} <= {
        (datetime.now(UTC) - timedelta(days=day)).date().isoformat() for day in (0, 1)
    }


@pytest.mark.parametrize("survivors", [3, 12])
def test_an_interrupted_collection_leaves_whole_results_and_is_gone_on_with(
    kept: Kept, survivors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = needed(kept.vault)
    vault, gone = kept.vault, []
    real = vault.store.remove

    def failing(key: str, fingerprint: Any) -> bool:
        if len(gone) >= survivors:
            raise OSError("the network is gone")
        gone.append(key)
        return real(key, fingerprint)

    monkeypatch.setattr(vault.store, "remove", failing)
    with pytest.raises(OSError, match="network"):
        remove_unreached(vault, kept.plan())
    for key in kept.vault.store.keys("stages"):
        assert kept.vault.result(Path(key).stem), key
    assert not kept.vault.store.keys("quarantine")
    kept.collect()
    assert {key for key in kept.keys if key.partition("/")[0] in KINDS} == expected


def test_what_comes_into_use_while_it_is_swept_is_spared(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    used, wanted = kept.manifest("rejected", "prune"), kept.manifest("other", "prune")
    made = replace(used, key=f"gate-v9-{'1' * 64}", outputs=wanted.outputs)
    plan = kept.plan()
    assert f"stages/{used.key}.json" in plan.doomed
    mark_used(kept.vault, used.key, LATER.date())
    kept.vault.commit(made)
    remove_unreached(kept.vault, plan)
    assert kept.vault.result(used.key) == used
    assert kept.vault.result(made.key) == made


def test_a_result_that_is_made_anew_while_it_is_swept_is_spared(folder: Kept) -> None:
    old = folder.manifest("other", "prune")
    plan, vault = folder.plan(), folder.vault
    key = f"stages/{old.key}.json"
    vault.store.remove(key, vault.store.fingerprint(key))
    anew = replace(old, created=LATER.isoformat(timespec="seconds"))
    vault.commit(anew)
    remove_unreached(vault, plan)
    assert folder.vault.result(old.key) == anew


def test_objects_whose_manifest_is_still_to_come_are_left_while_they_are_young(folder: Kept) -> None:
    reference = folder.vault.put("values", b"half way", ".json")
    plan_now = plan_collection(workspace(folder.store), folder.vault, oldest_kept(datetime.now(UTC), 0))
    assert plan_now.kept[reference.key] == "young"
    assert reference.key in folder.plan().doomed


def test_a_version_that_no_ledger_has_stays_by_what_its_tags_name(folder: Kept, tmp_path: Path) -> None:
    version = folder.outcomes["approved"]
    shutil.rmtree(Path(folder.store) / "ledger")
    for path in (Path(folder.store) / "stages").glob("register-*"):
        path.unlink()
    folder.collect()
    for stage in folder.plan().kept:
        if stage.startswith("stages/"):
            assert folder.vault.result(Path(stage).stem)
    assert folder.vault.store.keys(f"variants/{version['variant']['digest']}")
    assert folder.vault.store.keys(f"checkpoints/{version['checkpoint']['digest']}")
    assert not folder.vault.store.keys(f"variants/{folder.outcomes['rejected']['variant']['digest']}")


def test_quarantine_goes_by_when_it_was_filled(folder: Kept) -> None:
    folder.vault.put("values", b"one", ".json")
    reference = folder.vault.put("values", b"one", ".json")
    spoil(folder.vault.store.address(reference.key))
    with pytest.raises(IntegrityError):
        folder.vault.read(reference)
    assert len(folder.vault.store.keys("quarantine")) == 2
    remove_unreached(
        folder.vault, plan_collection(workspace(folder.store), folder.vault, oldest_kept(datetime.now(UTC), 0))
    )
    assert len(folder.vault.store.keys("quarantine")) == 2
    folder.collect()
    assert folder.vault.store.keys("quarantine") == []


def test_without_the_registry_nothing_is_removed(kept: Kept, lorp: Lorp, home: Path) -> None:
    before, nobody = kept.keys, f"http://127.0.0.1:{free_port()}"
    refused = lorp("gc", "--delete", f"--store={kept.store}", f"--tracking-uri={nobody}")
    assert (refused.status, refused.out) == (1, "")
    assert "cannot be used" in refused.err
    for uri, kind in ((nobody, RegistryError), (f"sqlite:///{home / 'other.db'}", SpecError)):
        with pytest.raises(kind):
            plan_collection(workspace(kept.store, uri), kept.vault, BEFORE)
    other = lorp("gc", "--delete", f"--store={kept.store}", f"--tracking-uri=sqlite:///{home / 'other.db'}")
    assert (other.status, "none of the versions in the ledgers" in other.err) == (2, True)
    assert not (home / "other.db").exists()
    assert kept.keys == before


@pytest.mark.parametrize("what", ["entry changed", "entry gone", "lineage changed", "lineage gone"])
def test_while_ledger_or_lineage_cannot_be_read_nothing_is_removed(folder: Kept, lorp: Lorp, what: str) -> None:
    lineage = read_ledger(folder.vault, "pico")[0].change.lineage
    key = "ledger/pico/00000001.json" if what.startswith("entry") else f"values/{lineage}.json"
    harm = spoil if what.endswith("changed") else remove
    harm(folder.vault.store.address(key))
    before = folder.keys
    refused = lorp("gc", "--delete")
    assert refused.status == 1
    assert "ledger" in refused.err or "lineage record of pico" in refused.err
    with pytest.raises(LorpError):
        folder.plan()
    assert folder.keys == before


def test_others_files_are_left_alone(folder: Kept) -> None:
    names = (
        "notes/mine.txt",
        "values/.DS_Store",
        "values/mine.txt",
        "checkpoints/mine/step-1000/model.safetensors",
        "corpora/wiki.txt",
        "captures/mine/0.parquet",
        "stages/notes.md",
        "used/cars.csv",
        "quarantine/why.txt",
    )
    theirs = [Path(folder.store) / name for name in names]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        overwrite(path.as_uri(), b"mine")
    folder.collect()
    assert all(path.exists() for path in theirs)


def test_the_command_removes_only_if_asked_and_keeps_the_days_that_were_asked_for(
    kept: Kept, lorp: Lorp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_forty_days(now: datetime, keep_days: int) -> datetime:
        return oldest_kept(now + timedelta(days=40), keep_days)

    monkeypatch.setattr("flows.keeping.oldest_kept", in_forty_days)
    before, expected = kept.keys, needed(kept.vault)
    dry = lorp("gc", f"--store={kept.store}", "--json").json
    assert dry["removed"]["variants"]["objects"] > 0
    long = lorp("gc", f"--store={kept.store}", "--keep-days=60", "--delete", "--json").json
    assert sum(kind["objects"] for kind in long["removed"].values()) == 0
    assert kept.keys == before
    done = lorp("gc", f"--store={kept.store}", "--delete", "--json").json
    assert (done["removed"], done["deleted"]) == (dry["removed"], True)
    assert {key for key in kept.keys if key.partition("/")[0] in KINDS} == expected


def test_a_ledgers_versions_stay_whatever_the_registry_says(folder: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = read_ledger(folder.vault, "pico")[0]
    assert entry.change.version
    assert entry.change.verdict
    other = VersionInRegistry(
        name="pico", version=entry.change.version, run_id="foreign", tags={"lorp.verdict": entry.change.verdict}
    )
    monkeypatch.setattr("tasks.roots.versions", lambda places: (other,))
    monkeypatch.setattr("tasks.roots._Finder.of_registrations", lambda finder: iter(()))
    expected = needed(folder.vault)
    folder.collect()
    assert {key for key in folder.keys if key.partition("/")[0] in KINDS} == expected


def test_a_version_of_another_registry_stays_by_its_registration(folder: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    decisions = {f"values/{entry.change.decision}.json" for entry in read_ledger(folder.vault, "pico")}
    expected = needed(folder.vault, rejected=False) - decisions
    shutil.rmtree(Path(folder.store) / "ledger")
    monkeypatch.setattr("tasks.roots.versions", lambda places: ())
    folder.collect()
    assert {key for key in folder.keys if key.partition("/")[0] in KINDS} == expected


def test_a_store_that_is_not_there_is_not_made(lorp: Lorp, tmp_path: Path) -> None:
    refused = lorp("gc", "--delete", f"--store={tmp_path / 'none'}")
    assert (refused.status, refused.out) == (2, "")
    assert "there is no store at" in refused.err
    assert not (tmp_path / "none").exists()


def test_the_table_says_what_would_go_and_what_stays(folder: Kept, lorp: Lorp) -> None:
    told = lorp("gc")
    assert told.status == 0
    for word in ("variants", "would go", "a ledger names it", "Nothing would go"):
        assert word in told.out
    assert "removed" in lorp("gc", "--delete").out


def test_what_a_kept_manifest_names_is_kept(folder: Kept) -> None:
    plan = folder.plan()
    for key in plan.kept:
        if key.startswith("stages/"):
            outputs = asdict(folder.vault.result(Path(key).stem))["outputs"]  # type: ignore[call-overload]
            for output in outputs.values():
                assert any(kept == output["key"] or kept.startswith(f"{output['key']}/") for kept in plan.kept)
