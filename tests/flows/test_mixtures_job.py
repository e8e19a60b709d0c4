"""A job with several calibration texts: what is captured of each, and the mixture that is taken."""

import json
from pathlib import Path

import pytest
from support import PICO_OPTIONS, Lorp, Result, manifests, window_ids
from test_recompress import redone

from flows.options import parse_corpora
from tasks.store import FolderStore
from tasks.vault import Vault

LOOSE = "--max-perplexity-ratio=100"


def rows(path: Path, what: str, count: int) -> Path:
    lines = (json.dumps({"text": " ".join(f"{what} {row} {word}" for word in range(60))}) for row in range(count))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def mixed(lorp: Lorp, pico: Path, tmp_path: Path, prefect_server: None) -> Lorp:
    one, other = rows(tmp_path / "one.jsonl", "alpha", 40), rows(tmp_path / "c++.jsonl", "omega", 40)
    judged = rows(tmp_path / "judged.jsonl", "delta", 40)

    def call(*arguments: object) -> Result:
        return lorp(
            "recompress", pico, "--remove=1", f"--calibration={one}", f"--calibration={other}",
            f"--evaluation={judged}", LOOSE, *PICO_OPTIONS, *arguments,
        )  # fmt: skip

    return call


def test_a_mixture_takes_windows_from_each_corpus_in_turn_and_says_what_each_says(mixed: Lorp, home: Path) -> None:
    outcome = mixed("--json").json
    assert [Path(name).name for name in outcome["calibrated_on"]] == ["one.jsonl", "c++.jsonl"]
    assert outcome["mixtures"] is None
    corpora = outcome["similarity"]["corpora"]
    assert [(entry["corpus"], entry["num_windows"]) for entry in corpora] == [(1, 8), (2, 8)]
    assert all(entry["rls_low"] <= entry["rls"] <= entry["rls_high"] for entry in corpora)
    stability = outcome["plan"]["stability"]
    assert [entry["corpus"] for entry in stability["corpora"]] == [1, 2]
    assert all(sum(entry["shares"]) == pytest.approx(1) for entry in stability["corpora"])
    page = Path(outcome["report"]).read_text()
    assert 'data-corpus="one.jsonl"' in page
    assert "data-mixture" not in page


def test_the_best_mixture_is_taken_and_all_are_shown(mixed: Lorp, home: Path) -> None:
    options = ("--mixture=auto", "--method=greedy", "--heal=linear", "--heal-windows=8", "--json")
    outcome = mixed(*options).json
    mixtures = outcome["mixtures"]
    assert [trial["mixture"] for trial in mixtures["trials"]] == [[1, 2], [1], [2]]
    best = min(mixtures["trials"], key=lambda trial: trial["ratio"])
    assert mixtures["chosen"] == best["mixture"]
    assert outcome["plan"]["removed"] == best["removed"]
    names = ["one.jsonl", "c++.jsonl"]
    assert [Path(name).name for name in outcome["calibrated_on"]] == [names[number - 1] for number in best["mixture"]]
    page = Path(outcome["report"]).read_text()
    assert 'data-mixture="one.jsonl + c++.jsonl"' in page
    _held_out_windows_have_no_other_use(home)
    before = manifests(home)
    again = mixed(*options).json
    assert {**again, "run": ""} == {**outcome, "run": ""}
    assert not redone(home, before)


def _held_out_windows_have_no_other_use(home: Path) -> None:
    vault = Vault(FolderStore(home / "store"))
    cut = [manifest for manifest in manifests(home).values() if manifest.stage == "windows"]
    ids: dict[str, list[set[str]]] = {}
    for manifest in cut:
        found = window_ids(json.loads(vault.read(manifest.outputs["windows"])))
        ids.setdefault(str(manifest.inputs.get("use")), []).append(set(found))
    assert {use: len(sets) for use, sets in ids.items()} == {"None": 4, "search": 3, "healing": 3, "mixture": 1}
    [held_out] = ids["mixture"]
    assert len(held_out) == 32
    of_evaluation = [found for found in ids["None"] if not any(":" in name for name in found)]
    assert len(of_evaluation) == 1
    assert not held_out & of_evaluation[0]


def test_the_best_mixture_is_found_before_the_depth(mixed: Lorp, home: Path, tmp_path: Path) -> None:
    short = rows(tmp_path / "short.jsonl", "gamma", 3)
    outcome = mixed(
        "--json", "--remove=auto", "--max-perplexity-ratio=1.2", "--mixture=auto", f"--calibration={short}",
        "--frontier-windows=32", "--evaluation-windows=32", "--tasks=none", "--speed-rounds=0",
    ).json  # fmt: skip
    trials = {tuple(trial["mixture"]): trial for trial in outcome["mixtures"]["trials"]}
    assert list(trials) == [(1, 2, 3), (1,), (2,), (3,)]
    assert "too little text" in trials[3,]["refused"]
    assert trials[3,]["ratio"] is None
    assert all(len(trials[key]["removed"]) == outcome["mixtures"]["count"] for key in list(trials)[:3])
    assert outcome["mixtures"]["chosen"] != [3]
    assert outcome["frontier"]["chosen"] == len(outcome["plan"]["removed"])
    page = Path(outcome["report"]).read_text()
    assert "none: too little text" in page
    vault = Vault(FolderStore(home / "store"))
    cut = [manifest for manifest in manifests(home).values() if manifest.stage == "windows"]
    of_use = {
        use: window_ids(json.loads(vault.read(manifest.outputs["windows"])))
        for manifest in cut
        if (use := manifest.inputs.get("use")) in ("mixture", "frontier")
    }
    assert {use: len(ids) for use, ids in of_use.items()} == {"mixture": 32, "frontier": 32}
    assert not set(of_use["mixture"]) & set(of_use["frontier"])


def test_a_plus_joins_texts_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a+b#c").mkdir()
    for name in ("a+b.txt", "x+y.jsonl", "rows.jsonl", "a+b#c/rows.jsonl"):
        (tmp_path / name).touch()
    for whole in (
        "~/a+b.txt",
        f"{tmp_path}/x+y.jsonl#content",
        f"{tmp_path}/c++.jsonl",
        "pydoc",
        f"{tmp_path}/a+b#c/rows.jsonl#a:b",
    ):
        assert parse_corpora([whole]) == (whole,)
    assert parse_corpora(["a.txt+c4", "b"]) == ("a.txt", "c4", "b")
    column = f"{tmp_path}/rows.jsonl#content,joined"
    assert parse_corpora([f"{column}+other.txt"]) == (column, "other.txt")


def test_a_corpus_too_short_for_a_window_is_named(mixed: Lorp, tmp_path: Path) -> None:
    short = tmp_path / "short.jsonl"
    short.write_text(json.dumps({"text": "too short"}))
    done = mixed(f"--calibration={short}")
    assert done.status == 2
    assert f"{short} gives no window of 32 tokens" in done.err
