"""`lorp audit`: whatever was changed is found and named, and what was not is sound."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audits import KINDS, Spoiler, overwrite, rewritten
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mlflow import MlflowClient
from support import Lorp

from lorp.digest import canonical_json, digest_bytes
from lorp.errors import IntegrityError
from tasks.audit import AuditRequest, audit, replay
from tasks.audit.objects import Objects
from tasks.audit.rederive import rederivable, rederived
from tasks.audit.runs import audit_run
from tasks.keeping import digests_in
from tasks.records import RunRecord, parse_record
from tasks.store import FolderStore, open_store
from tasks.vault import Manifest

FLIPS, AT_ONCE = 1_000, 20


@pytest.fixture
def outcomes(audited_home: tuple[Path, dict[str, Any]], home: Path) -> dict[str, Any]:
    """What the runs came to, of which this test has a copy."""
    shutil.copytree(audited_home[0], home)
    return audited_home[1]


@pytest.fixture
def spoiler(outcomes: dict[str, Any], home: Path) -> Spoiler:
    return Spoiler(store=home / "store")


@pytest.fixture
def first(outcomes: dict[str, Any], home: Path) -> tuple[RunRecord, Objects]:
    """The record of the first version, and its store."""
    store = FolderStore(home / "store")
    return parse_record(store.read(f"values/{Path(outcomes['first']['lineage']).name}")), Objects(store)


def found(store: Path, **asked: Any) -> set[str]:
    """Objects that an audit of everything names."""
    audited = audit(FolderStore(store), AuditRequest(target=None, **asked)).found
    assert audited.sound == (not audited.faults)
    return {fault.object for fault in audited.faults}


def test_what_nobody_touched_is_sound(outcomes: dict[str, Any], lorp: Lorp, signing_keys: tuple[Path, Path]) -> None:
    done = lorp("audit", "--all", f"--trusted-key={signing_keys[1]}", "--json")
    assert (done.status, done.json["sound"], done.json["faults"]) == (0, True, [])
    steps = {(step["about"], step["name"]): step["state"] for step in done.json["steps"]}
    assert set(steps.values()) == {"holds"}
    for run in ("pico 1", "pico 2", "a rejected run of pico"):
        assert (run, "plan from the trials") in steps
        assert (run, "verdict from the evaluations") in steps
    assert steps["ledger of pico", "registry"] == "holds"
    shown = lorp("audit", "pico@production")
    assert shown.status == 0
    assert "SOUND: all that was looked at holds" in shown.out


def test_each_byte_is_read_once(spoiler: Spoiler, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    for name in ("read", "fresh_digest"):
        real = getattr(FolderStore, name)

        def noted(self: FolderStore, key: str, real: Any = real) -> Any:
            read.append(key)
            return real(self, key)

        monkeypatch.setattr(FolderStore, name, noted)
    audited = audit(FolderStore(spoiler.store), AuditRequest(target=None)).found
    assert len(read) == len(set(read)) == audited.num_objects
    assert audited.num_bytes == sum((spoiler.store / key).stat().st_size for key in read)
    kept = {spoiler.key(path) for kind in KINDS for path in spoiler.files(kind)}
    assert kept <= set(read)


def test_a_thousand_changed_bytes_are_all_found_and_named(spoiler: Spoiler) -> None:
    draw, left, changed = random.Random(0), FLIPS, dict.fromkeys(KINDS, 0)
    assert found(spoiler.store) == set()
    while left:
        kinds = draw.choices(list(KINDS), k=min(AT_ONCE, left))
        paths = list({draw.choice(spoiler.files(kind)) for kind in kinds})
        with spoiler.flipped(paths, draw):
            named = found(spoiler.store)
        # A folder's file is not known by name once record and manifest have changed too: then the folder is named.
        assert [path for path in paths if not {spoiler.key(path), spoiler.key(path.parent)} & named] == []
        left -= len(paths)
        for kind in KINDS:
            changed[kind] += len(set(paths) & set(spoiler.files(kind)))
    assert min(changed.values()) > 20
    assert found(spoiler.store) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_deleted_is_named(spoiler: Spoiler, kind: str) -> None:
    for path in spoiler.files(kind)[:3]:
        with spoiler.put_back([path]):
            path.unlink()
            named = found(spoiler.store)
        assert spoiler.key(path) in named or spoiler.key(path.parent) in named


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("pages", "card", "source")])
def test_two_objects_that_were_exchanged_are_named(spoiler: Spoiler, kind: str) -> None:
    one, other = spoiler.files(kind)[:2]
    with spoiler.put_back([one, other]):
        data = one.read_bytes()
        overwrite(one, other.read_bytes())
        overwrite(other, data)
        assert {spoiler.key(one), spoiler.key(other)} <= found(spoiler.store)


def test_what_was_added_to_a_folder_is_named(spoiler: Spoiler) -> None:
    more = spoiler.files("weights")[0].with_name("modeling.py")
    more.write_text("print()")
    assert spoiler.key(more) in found(spoiler.store)


def test_a_ledger_that_was_cut_short_or_written_anew_is_found_by_its_head(
    spoiler: Spoiler, lorp: Lorp, tmp_path: Path
) -> None:
    heads, entries = tmp_path / "heads.json", spoiler.files("ledger")
    heads.write_text(lorp("ledger", "head").out)
    assert lorp("audit", "--all", f"--since={heads}").status == 0
    with spoiler.put_back(entries):
        entries[-1].unlink()
        cut = lorp("audit", "--all", f"--since={heads}", "--no-registry", "--json")
        assert (cut.status, [fault["object"] for fault in cut.json["faults"]]) == (4, ["ledger/pico"])
        assert "its end was cut off" in cut.json["faults"][0]["reason"]
    with spoiler.put_back(entries):
        rewritten(entries[0].parent, lambda entry: entry["change"].update(asked_by="nobody"))
        assert lorp("audit", "--all", "--no-registry").status == 0  # as docs/lineage.md says
        anew = lorp("audit", "pico", f"--since={heads}", "--json")
        assert (anew.status, anew.json["faults"][0]["object"]) == (4, "ledger/pico")
    with spoiler.put_back(entries):
        shutil.rmtree(entries[0].parent.parent)
        gone = lorp("audit", "--all", f"--since={heads}", "--json")
        assert "ledger/pico" in {fault["object"] for fault in gone.json["faults"]}
        (spoiler.store / "ledger" / "pico").mkdir(parents=True)


def test_a_ledger_that_was_written_anew_is_not_signed(
    spoiler: Spoiler, lorp: Lorp, signing_keys: tuple[Path, Path]
) -> None:
    entries = spoiler.files("ledger")
    rewritten(entries[0].parent, lambda entry: entry["change"].update(reason="because"))
    done = lorp("audit", "--all", f"--trusted-key={signing_keys[1]}", "--json")
    assert done.status == 4
    assert {spoiler.key(path) for path in entries} <= {fault["object"] for fault in done.json["faults"]}


def test_a_signature_by_another_key_counts_for_nothing(
    spoiler: Spoiler, lorp: Lorp, tmp_path: Path, signing_keys: tuple[Path, Path]
) -> None:
    other = tmp_path / "other.pem"
    public = Ed25519PrivateKey.generate().public_key()
    other.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    done = lorp("audit", "pico@1", f"--trusted-key={other}", "--json")
    assert done.status == 4
    assert all("no signature by a trusted key" in fault["reason"] for fault in done.json["faults"])
    assert lorp("audit", "pico@1", f"--trusted-key={other}", f"--trusted-key={signing_keys[1]}").status == 0
    [path] = list((spoiler.store / "signatures").glob(f"{digest_bytes(spoiler.files('ledger')[0].read_bytes())}/*"))
    envelope = json.loads(path.read_bytes())
    overwrite(path, canonical_json({**envelope, "payload": envelope["payload"][:-4] + "AAA="}))
    spoilt = lorp("audit", "pico@1", f"--trusted-key={signing_keys[1]}", "--json")
    assert [fault["object"] for fault in spoilt.json["faults"]] == [spoiler.key(path)]


def test_the_last_registration_of_a_ledger_that_was_deleted_is_missed(spoiler: Spoiler) -> None:
    entries = spoiler.files("ledger")
    for path in entries[2:]:
        path.unlink()
    assert spoiler.key(entries[2]) in found(spoiler.store)


def test_an_alias_that_was_moved_outside_the_ledger_is_found(spoiler: Spoiler, lorp: Lorp, home: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    client.set_registered_model_alias("pico", "production", "1")
    client.set_registered_model_alias("pico", "staging", "2")
    done = lorp("audit", "pico", "--json")
    assert done.status == 4
    assert [fault["object"] for fault in done.json["faults"]] == ["pico@production", "pico@staging"]
    assert lorp("audit", "pico", "--no-registry").status == 0


def forged(store: Path, manifest: Manifest, role: str, change: Any) -> Manifest:
    """A manifest whose output is another value, stored under its own digest."""
    reference = manifest.outputs[role]
    value = json.loads((store / reference.key).read_bytes())
    change(value)
    data = canonical_json(value)
    (store / f"values/{digest_bytes(data)}.json").write_bytes(data)
    other = replace(reference, key=f"values/{digest_bytes(data)}.json", sha256=digest_bytes(data), bytes=len(data))
    return replace(manifest, outputs={**manifest.outputs, role: other})


FORGERIES: dict[str, tuple[str, Any]] = {
    "score": ("similarity", lambda value: value["boundaries"][1].__setitem__(2, 0.5)),
    "cluster": ("clustering", lambda value: value["labels"].reverse()),
    "search": ("plan", lambda value: value["steps"][0].update(score=0.5)),
    "gate": ("verdict", lambda value: value["criteria"][0].update(bound=1.0)),
}


@pytest.mark.parametrize("stage", FORGERIES)
def test_what_does_not_follow_is_found_though_its_digest_is_sound(
    first: tuple[RunRecord, Objects], home: Path, stage: str
) -> None:
    run, objects = first
    [manifest] = run.chain.of(stage)
    assert rederivable(manifest)
    assert rederived(run, manifest, objects) == (None, "byte for byte")
    forgery = forged(home / "store", manifest, *FORGERIES[stage])
    fault, _ = rederived(run, forgery, Objects(objects.store))
    assert fault
    assert f"its {FORGERIES[stage][0]} differs" in fault
    assert "this lorp has" not in fault
    older = replace(forgery, key=re.sub(r"-v\d+-", "-v0-", forgery.key))
    fault, _ = rederived(run, older, Objects(objects.store))
    assert fault
    assert f"{stage}-v0 made it, and this lorp has {stage}-v" in fault


def test_a_search_whose_trials_were_replaced_does_not_lead_to_its_plan(
    first: tuple[RunRecord, Objects], home: Path
) -> None:
    run, objects = first
    [manifest] = run.chain.of("search")

    def cheaper(value: Any) -> None:
        worst = max(value["score"], key=lambda tried: (len(tried["removed"]), sum(tried["losses"])))
        worst["losses"] = [0.0] * len(worst["losses"])

    forgery = forged(home / "store", manifest, "trials", cheaper)
    try:
        fault, _ = rederived(run, forgery, Objects(objects.store))
    except IntegrityError as missing:
        fault = missing.reason
    assert fault


def test_sums_that_are_not_those_of_the_sampled_states_are_found(
    first: tuple[RunRecord, Objects], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, objects = first
    import tasks.audit.runs as module

    real = module.decode_windows

    def shifted(data: bytes) -> Any:
        sums = real(data)
        off = 0.3 * (1 - np.eye(sums.cosine_sums_WLL.shape[1])) * sums.num_tokens[:, None, None]
        return replace(sums, cosine_sums_WLL=sums.cosine_sums_WLL - off)

    monkeypatch.setattr(module, "decode_windows", shifted)
    steps = {step.name: step for step in audit_run(run, objects)}
    assert steps["capture"].state == "fails"
    assert "more than sampling explains" in steps["capture"].said or "cannot be those" in steps["capture"].said


def test_a_replay_gives_the_same_weights_and_figures(outcomes: dict[str, Any], lorp: Lorp) -> None:
    done = lorp("audit", "pico@production", "--replay", "--json")
    assert done.status == 0
    said = {step["name"]: (step["state"], step["said"]) for step in done.json["steps"]}
    assert said["surgery, done again"][0] == "holds"
    assert "byte for byte" in said["surgery, done again"][1]
    assert {state for state, _ in said.values()} == {"holds", "not done"}
    assert len([name for name in said if name.endswith("done again")]) == 9
    assert said["verdict, on what was done again"] == ("holds", "the gate approves it")


def test_a_replay_finds_what_is_not_as_near_as_is_allowed(
    first: tuple[RunRecord, Objects], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, objects = first
    for name in ("COSINE_TOLERANCE", "LOSS_TOLERANCE", "RATE_TOLERANCE"):
        monkeypatch.setattr(replay, name, {"float32": -1.0})
    steps = {step.name: step.state for step in replay.replay_run(run, objects)}
    assert steps.pop("surgery, done again") == "holds"
    assert steps.pop("verdict, on what was done again") == "holds"
    assert len(steps) == 7
    assert set(steps.values()) == {"fails"}


def test_another_machine_with_the_store_alone_verifies_everything(
    outcomes: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(home / "store", tmp_path / "elsewhere" / "store"))
    shutil.rmtree(home)
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "OMP_NUM_THREADS")}
    environment |= {"HOME": str(tmp_path / "person"), "LORP_HOME": str(tmp_path / "person" / "lorp")}
    words = [str(Path(sys.executable).parent / "lorp"), "audit", "--all", "--replay", "--json", f"--store={store}"]
    alone = ["unshare", "--map-root-user", "--net"]  # no network at all, where this may be asked for
    can = subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
    done = subprocess.run(
        [*(alone if can else []), *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    again = [step for step in steps if step["name"] == "surgery, done again"]
    assert len(again) == 3
    assert all("byte for byte" in step["said"] for step in again)


def test_a_bucket_is_audited_by_what_it_holds_and_not_by_copies(
    outcomes: dict[str, Any], home: Path, prefix: str, lorp: Lorp
) -> None:
    root, store = home / "store", open_store(prefix)
    for path in sorted(root.rglob("*")):
        if path.is_file() and ".scratch" not in path.parts:
            store.create(str(path.relative_to(root)), path.read_bytes())
    assert lorp("audit", "--all", f"--store={prefix}").status == 0
    from addresses import overwrite as overwrite_in

    weights = next(path for path in sorted(root.glob(KINDS["weights"])))
    key = str(weights.relative_to(root))
    overwrite_in(store.address(key), weights.read_bytes()[:-1] + b"x")
    done = lorp("audit", "--all", f"--store={prefix}", "--json")
    assert done.status == 4
    assert key in {fault["object"] for fault in done.json["faults"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit"], "it is not said what to audit"),
        (["audit", "pico", "--all"], "it is not said what to audit"),
        (["audit", "nobody"], "there is no ledger of nobody, but: pico"),
        (["audit", "pico@7"], "has no version 7, but: 1, 2"),
        (["audit", "pico@canary"], "no version of pico is in canary"),
        (["audit", "0" * 64], "no ledger of this store has a variant or record"),
        (["audit", "../pico"], "nothing that can be audited"),
        (["audit", "../pico@1"], "../pico is no model's name"),
        (["audit", "pico", "--html=/no/such/page.html"], "/no/such/page.html cannot be written"),
        (["audit", "pico", "--since=/no/such"], "/no/such cannot be read"),
        (["audit", "pico", f"--since={__file__}"], "these are no heads of ledgers"),
        (["audit", "pico", f"--trusted-key={__file__}"], "is no public key"),
        (["audit", "pico", "--store=/no/such"], "there is no store at /no/such"),
        (["ledger", "head", "nobody"], "there is no ledger of nobody"),
        (["history", "nobody"], "there is no ledger of nobody"),
        (["why", "pico"], "pico has 3 runs: pico 1 (record "),
        (["why", "pico@9"], "has no version 9"),
        (["diff", "pico@1", "nobody@1"], "there is no ledger of nobody"),
        (["affected", "cafe"], "cafe is no digest"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_line(
    outcomes: dict[str, Any], lorp: Lorp, words: list[str], said: str
) -> None:
    done = lorp(*words)
    assert (done.status, done.out) == (2, "")
    [line] = done.err.strip().splitlines()
    assert said in line


def test_a_variant_is_found_by_its_address(outcomes: dict[str, Any], lorp: Lorp) -> None:
    variant = outcomes["first"]["variant"]
    for target in (variant["uri"], variant["digest"]):
        done = lorp("audit", target, "--json")
        assert done.status == 0
        assert ("pico 1", "record") in {(step["about"], step["name"]) for step in done.json["steps"]}


def test_a_signing_key_that_cannot_be_used_is_told_before_anything_is_done(
    recompress: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORP_SIGNING_KEY", __file__)
    done = recompress()
    assert (done.status, done.out) == (2, "")
    assert "the signing key" in done.err
    assert not list(home.glob("store/stages/*"))


def test_weights_of_a_rejected_run_may_be_gone_but_not_in_part(
    spoiler: Spoiler, outcomes: dict[str, Any], lorp: Lorp
) -> None:
    variant = spoiler.store / "variants" / outcomes["rejected"]["variant"]["digest"]
    next(variant.glob("*.safetensors")).unlink()
    assert found(spoiler.store)
    for path in spoiler.files("manifest"):
        if digests_in(path.read_bytes()) & {variant.name} and '"variant"' in path.read_text():
            path.unlink() if path.name.startswith("prune-") else None
    shutil.rmtree(variant)
    assert found(spoiler.store) == set()
    done = lorp("audit", "pico", "--json")
    said = [step["said"] for step in done.json["steps"] if step["about"].startswith("a rejected")]
    assert any("no longer kept" in each for each in said)


KINDS_OF_RUNS = {
    "greedy, a share, packed": ("--method=greedy", "--remove=0.3", "--heal=none", "--windows=packed"),
    "bfloat16, every budget": (
        "--method=streamline", "--remove=3", "--heal=refit", "--dtype=bfloat16", "--max-accuracy-drop=1",
        "--max-repetition-increase=1", "--max-memory-ratio=1", "--tasks=continuation", "--generation-prompts=32",
    ),
    "count and corpora left open": (
        "--method=lorp,shortgpt", "--remove=auto", "--heal=auto", "--mixture=auto", "--search-swaps=2",
        "--calibration=a.jsonl+b.jsonl", "--evaluation=e.jsonl",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS_OF_RUNS)
def test_a_run_of_any_kind_is_sound(
    kind: str, pico: Path, prefect_server: None, lorp: Lorp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    for name in "abe":
        texts = [" ".join(draw.choices(["tide", "stone", "river", "lamp", "orbit"], k=120)) for _ in range(900)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    quick = ("--tasks=none", "--generation-prompts=0", "--speed-rounds=5", "--speed-tokens=32", "--name=pico")
    small = ("--calibration-windows=16", "--evaluation-windows=40", "--window-tokens=32", "--generation-tokens=8")
    done = lorp("recompress", pico, *small, *quick, *KINDS_OF_RUNS[kind], "--max-perplexity-ratio=1000")
    assert done.status in (0, 3), done.err
    told = lorp("audit", "--all", "--replay", "--json")
    assert told.json["faults"] == []
    assert told.status == 0


READER = Path(__file__).parents[1] / "lineage_reader.py"


def read_independently(store: Path, version: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", str(READER), str(store), "pico", str(version)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_reader_that_knows_the_documented_format_alone_comes_to_the_same(spoiler: Spoiler) -> None:
    for version in (1, 2):
        done = read_independently(spoiler.store, version)
        assert (done.returncode, done.stderr) == (0, "")
        assert "outputs hold" in done.stdout
    draw = random.Random(1)
    for kind in ("manifest", "ledger", "parquet"):
        path = spoiler.files(kind)[0]
        with spoiler.flipped([path], draw):
            assert any(read_independently(spoiler.store, version).returncode for version in (1, 2)), path
