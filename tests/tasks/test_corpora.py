"""Corpora as stages: a dataset is fetched once, at a commit, and then its text comes from the store."""

import json
from pathlib import Path

import pytest
from hub import COMMIT
from texts import words

from lorp.corpus.hub import HubRows
from lorp.digest import FileDigest, digest_bytes
from lorp.errors import CorpusError
from lorp.spec import CalibrationSpec, EvaluationSpec, HealingSpec, PruningSpec, RecompressSpec
from tasks import corpora
from tasks.corpora import FetchRows, check_text, fetch_rows_requests
from tasks.stage import run_stage
from tasks.store import FolderStore
from tasks.vault import Reference, Vault
from tasks.windows import window_requests

HUB = f"hf://datasets/o/n@{COMMIT}"
CONFIG = json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}).encode()
CHECKPOINT = Reference(
    key="checkpoints/c", sha256="c", bytes=len(CONFIG),
    files=(FileDigest(name="config.json", sha256=digest_bytes(CONFIG), bytes=len(CONFIG)),),
)  # fmt: skip


def calibration(*names: str, **asked: int) -> CalibrationSpec:
    return CalibrationSpec.model_validate({"corpora": names, **asked})


def evaluation(*names: str, **asked: int) -> EvaluationSpec:
    return EvaluationSpec.model_validate({"corpora": names, **asked})


def spec(calibrated: str, evaluated: str, **more: object) -> RecompressSpec:
    plain = {"pruning": PruningSpec(remove=1, method="lorp"), "healing": HealingSpec(method="none")}
    return RecompressSpec.model_validate(
        {"source": "x", "calibration": calibration(calibrated), "evaluation": evaluation(evaluated), **plain, **more}
    )


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(FolderStore(tmp_path / "store"))
    vault.store.create(f"{CHECKPOINT.key}/config.json", CONFIG)
    return vault


@pytest.fixture
def rows_file(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": words(300, number)}) + "\n" for number in range(8)))
    return str(path)


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A hub whose dataset has 8 rows; the budgets that were asked of it."""
    asked: list[int] = []

    def read_rows(corpus: object, commit: str, max_characters: int) -> HubRows:
        asked.append(max_characters)
        rows = tuple(words(300, number) for number in range(8))
        return HubRows(dataset="o/n", commit=commit, config=None, split="train", column="text", texts=rows)

    monkeypatch.setattr(corpora, "read_rows", read_rows)
    return asked


def test_each_dataset_is_fetched_once_for_both_uses_with_enough_text_for_both() -> None:
    ours = calibration(HUB, "a.txt", f"{HUB}:test", num_windows=100, window_tokens=1_000)
    theirs = evaluation(HUB, num_windows=50, window_tokens=1_000)
    assert [(request.address, request.max_characters) for request in fetch_rows_requests(ours, theirs)] == [
        (HUB, 64 * 150_000), (f"{HUB}:test", 64 * 100_000),
    ]  # fmt: skip
    assert fetch_rows_requests(calibration("a.txt"), evaluation("pydoc")) == ()


def test_budgets_are_neither_tiny_nor_boundless() -> None:
    [small] = fetch_rows_requests(calibration(HUB, num_windows=1), evaluation("pydoc"))
    [large] = fetch_rows_requests(calibration(HUB, num_windows=10**9), evaluation("pydoc"))
    assert (small.max_characters, large.max_characters) == (1 << 20, 1 << 30)


def test_fetched_text_comes_from_the_store_from_then_on(
    vault: Vault, streamed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = FetchRows(address=HUB, commit=COMMIT, max_characters=5_000)
    manifest = run_stage(vault, request)
    assert manifest.inputs["commit"] == COMMIT
    monkeypatch.setattr(corpora, "read_rows", None)
    assert run_stage(vault, request) == manifest
    assert streamed == [5_000]
    fetched = {HUB: manifest.outputs["rows"]}
    cut = window_requests(vault, CHECKPOINT, spec(HUB, HUB), fetched, (1,))
    assert set(cut) == {"calibration", "evaluation"}
    assert cut["calibration"].corpus_sha256 != cut["evaluation"].corpus_sha256
    assert window_requests(vault, CHECKPOINT, spec(HUB, HUB), fetched, (1,)) == cut


def test_what_a_column_holds_is_in_the_key_of_what_was_fetched() -> None:
    def key(columns: str) -> str:
        return FetchRows(address=f"{HUB}#{columns}", commit=COMMIT, max_characters=5_000).key

    assert len({key(columns) for columns in ("a:b", "a:b,sound", "a:b,image", "b")}) == 4


def test_each_use_takes_the_windows_that_those_before_it_left(vault: Vault) -> None:
    cut = window_requests(
        vault, CHECKPOINT, spec("pydoc", "pydoc", pruning=PruningSpec(), healing=HealingSpec()), {}, (1,)
    )
    assert {use: (request.skipped, request.sizes) for use, request in cut.items()} == {
        "calibration": (0, (32,)),
        "search": (32, (24, 16, 24)),
        "healing": (96, (96, 16)),
        "evaluation": (0, (64,)),
        "frontier": (64, (64,)),
    }


def test_windows_depend_on_the_kind_of_model_that_may_choose_the_tokenizer(vault: Vault, tmp_path: Path) -> None:
    def key(**config: object) -> str:
        (tmp_path / "config.json").write_text(json.dumps(config))
        checkpoint = vault.put_folder("checkpoints", tmp_path, ["config.json"])
        cut = window_requests(vault, checkpoint, spec("pydoc", "pydoc"), {}, (1,))
        return cut["calibration"].key

    assert key(model_type="llama") == key(model_type="llama", num_hidden_layers=3) != key(model_type="qwen2")


def test_fetched_text_is_compared_with_a_files_text(vault: Vault, streamed: list[int], rows_file: str) -> None:
    request = FetchRows(address=HUB, commit=COMMIT, max_characters=5_000)
    fetched = {HUB: run_stage(vault, request).outputs["rows"]}
    with pytest.raises(CorpusError, match="share text: 100% of evaluation document o/n/1"):
        window_requests(vault, CHECKPOINT, spec(rows_file, HUB), fetched, (1,))


def test_text_is_checked_before_anything_is_fetched(streamed: list[int], rows_file: str, tmp_path: Path) -> None:
    check_text(calibration(HUB), evaluation(rows_file))
    assert streamed == []
    for ours, theirs, reason in (
        (calibration(HUB), evaluation(str(tmp_path / "no.txt")), "no text file"),
        (calibration("hf://datasets/o/n"), evaluation(rows_file), "names no dataset at a revision"),
        (calibration("hf://datasets/o/n@main"), evaluation(rows_file), "cannot be read from the hub"),
        (calibration(HUB, rows_file), evaluation(HUB), "but not all"),
        (calibration(rows_file), evaluation(str(tmp_path / "one.txt")), "all evaluation text is one document"),
    ):
        (tmp_path / "one.txt").write_text(words(200, 99))
        with pytest.raises(CorpusError, match=reason):
            check_text(ours, theirs)
