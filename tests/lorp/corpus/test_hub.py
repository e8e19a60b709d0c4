"""Datasets: streamed at a commit and no further than asked, and nothing that they hold is run.

The library is the real one; it reads repositories in folders, and in one test a stand-in of the hub over HTTP.
"""

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, Value
from hub import COMMIT, hub
from servers import free_port, silent
from texts import paragraphs, texts

from lorp.corpus.address import parse_hub
from lorp.corpus.hub import HubRows, hub_documents, read_rows, resolve_commit
from lorp.errors import CorpusError, OutageError
from lorp.values import decode, encode

LINES = ["one", "", None, "four", "five"]


def table(**columns: Sequence[object]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def repository(folder: Path, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def read(folder: str, address: str, max_characters: int = 1_000) -> HubRows:
    return read_rows(parse_hub(address), COMMIT, max_characters, folder)


def card(files: str) -> bytes:
    return f"---\nconfigs:\n- config_name: en\n  data_files: {files}\n---\n".encode()


@pytest.fixture
def lines(tmp_path: Path) -> str:
    files = {"train/0.parquet": table(text=LINES, n=[0] * 5), "test/0.parquet": table(text=["x"], n=[1])}
    return repository(tmp_path / "lines", files)


def test_rows_come_in_their_order_with_what_they_were_read_from(lines: str) -> None:
    assert read(lines, "hf://datasets/o/lines@main") == HubRows(
        dataset="o/lines",
        commit=COMMIT,
        config=None,
        split="train",
        column="text",
        texts=("one", "", "", "four", "five"),
    )
    assert read(lines, "hf://datasets/o/lines@main:test").texts == ("x",)


@pytest.mark.parametrize(("characters", "rows"), [(1, 1), (4, 1), (5, 2), (6, 3), (7, 4), (11, 4), (12, 5), (99, 5)])
def test_no_more_rows_are_read_than_the_budget_takes(lines: str, characters: int, rows: int) -> None:
    assert len(read(lines, "hf://datasets/o/lines@main", characters).texts) == rows


def test_rows_are_documents_each_text_once_and_come_back_from_the_store() -> None:
    rows = HubRows(dataset="o/n", commit=COMMIT, config=None, split="train", column="text", texts=("a", "", "a", "b"))
    assert decode(HubRows, encode(rows)) == rows
    found = [(document.id, document.text) for document in hub_documents(rows, False, 8)]
    assert found == [("o/n/1", "a"), ("o/n/4", "b")]


def test_joined_rows_are_one_text_cut_into_stretches() -> None:
    given = paragraphs(100).split("\n\n")
    rows = HubRows(dataset="o/n", commit=COMMIT, config=None, split="train", column="text", texts=tuple(given))
    stretches = hub_documents(rows, True, 8)
    assert len(stretches) > 2
    assert [line for text in texts(stretches) for line in text.split("\n\n") if line] == given


def test_a_dataset_without_text_is_refused() -> None:
    rows = HubRows(dataset="o/n", commit=COMMIT, config=None, split="train", column="text", texts=("", " "))
    with pytest.raises(CorpusError, match="column 'text' of o/n is empty"):
        hub_documents(rows, False, 8)


def test_other_columns_are_not_decoded(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "image": Image()})
    rows = {"text": ["a"], "image": [{"bytes": b"no image", "path": None}]}
    (tmp_path / "n").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "n/train.parquet")
    assert read(str(tmp_path / "n"), "hf://datasets/o/n@main").texts == ("a",)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("hf://datasets/o/lines@main#words", "no column 'words'; it has text, n"),
        ("hf://datasets/o/lines@main#n", "row 1 of o/lines is no text but int"),
        ("hf://datasets/o/lines@main:dev", "Bad split: dev"),
        ("hf://datasets/o/lines@main/en", "'en' not found"),
    ],
)
def test_what_a_dataset_does_not_have_is_refused(lines: str, address: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason) as refused:
        read(lines, address)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"n.py": b"raise SystemExit", "a.jsonl": b'{"text": "a"}'}, "scripts are no longer supported"),
        ({"a.tar": b""}, "is stored as webdataset"),
        ({"README.md": card("OUTSIDE")}, "text from elsewhere"),
        ({"README.md": card("../outside.jsonl")}, "text from elsewhere"),
        ({"a.parquet": b"PAR1" + b"\xff" * 40}, "cannot be read from the hub"),
        ({"a.jsonl": b'{"text": "a"}\n{"te'}, "cannot be read from the hub"),
        ({"nothing.bin": b""}, "cannot be read from the hub"),
    ],
    ids=["code", "archive", "absolute path", "outside", "broken Parquet", "broken JSON", "nothing"],
)
def test_a_dataset_that_is_not_plain_data_of_its_own_is_refused(
    tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_text('{"text": "secret"}')
    files = {name: data.replace(b"OUTSIDE", str(outside).encode()) for name, data in files.items()}
    with pytest.raises(CorpusError, match=reason):
        read(repository(tmp_path / "n", files), "hf://datasets/o/n@main")


def test_a_commit_needs_no_hub_and_another_revision_does() -> None:
    assert resolve_commit(parse_hub(f"hf://datasets/o/n@{COMMIT}")) == COMMIT
    for attempt in (resolve_commit, lambda corpus: read_rows(corpus, COMMIT, 9)):
        with pytest.raises(CorpusError, match=r"o/n@v1 cannot be read from the hub: .*\. Check the address"):
            attempt(parse_hub("hf://datasets/o/n@v1"))


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Leads the hub's library to an endpoint."""

    def lead(endpoint: str) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)

    return lead


@pytest.mark.parametrize("status", [429, 503, None], ids=str)
def test_a_hub_that_does_not_answer_is_an_outage(online: Callable[[str], None], status: int | None) -> None:
    with hub("o/n", {}, status=status or 200) as endpoint:
        online(endpoint if status else f"http://127.0.0.1:{free_port()}")
        with pytest.raises(OutageError, match=r"o/n@v1 cannot be read from the hub: .*\. Look at HF_ENDPOINT"):
            resolve_commit(parse_hub("hf://datasets/o/n@v1"))


def test_a_hub_that_never_says_a_word_is_an_outage(
    online: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    with silent() as endpoint:
        online(endpoint)
        with pytest.raises(OutageError):
            resolve_commit(parse_hub("hf://datasets/o/n@v1"))


def test_a_dataset_that_the_hub_does_not_know_is_no_outage(online: Callable[[str], None]) -> None:
    with hub("o/n", {}) as endpoint:
        online(endpoint)
        with pytest.raises(CorpusError, match=r"o/other@v1 cannot be read from the hub: .*\. Check the address"):
            resolve_commit(parse_hub("hf://datasets/o/other@v1"))


@pytest.mark.parametrize(
    ("cause", "kind"), [(ConnectionResetError("gone"), OutageError), (ValueError("no data"), CorpusError)], ids=repr
)
def test_a_connection_that_breaks_while_rows_are_streamed_is_an_outage(
    online: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, cause: Exception, kind: type[Exception]
) -> None:
    """By hand: the library itself tries for half a minute before it gives up."""

    def opened(*_: object) -> Iterator[object]:
        yield {"text": "a"}
        raise FileNotFoundError("no such shard") from cause

    online("http://127.0.0.1")
    monkeypatch.setattr("lorp.corpus.hub._opened", opened)
    with pytest.raises(kind, match="no such shard"):
        read("", "hf://datasets/o/n@v1")


READ = """
import sys
from lorp.corpus.address import parse_hub
from lorp.corpus.hub import read_rows, resolve_commit
from lorp.values import encode
corpus = parse_hub(sys.argv[1])
print(encode(read_rows(corpus, resolve_commit(corpus), 2_000)).decode())
"""


def shard(number: int) -> bytes:
    rows = [{"text": f"document {number}.{row} " * 9, "url": "u"} for row in range(9)]
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())


SHARDS = {f"en/c4-train.{number:05d}-of-00003.json.gz": shard(number) for number in range(3)}
CONVERSION = {"penn_treebank/train/0000.parquet": table(sentence=[f"line {row}" for row in range(900)])}


@pytest.mark.parametrize(
    ("files", "address", "first", "count"),
    [
        ({"README.md": card("en/c4-train.*.json.gz"), **SHARDS}, "hf://datasets/o/n@main/en", "document 0.0 " * 9, 17),
        (CONVERSION, "hf://datasets/o/n@refs/convert/parquet:train#sentence,joined", "line 0", 235),
    ],
    ids=["shards that a card names", "Parquet conversion"],
)
def test_the_presets_layouts_are_read_over_http(
    tmp_path: Path, files: dict[str, bytes], address: str, first: str, count: int
) -> None:
    with hub("o/n", files) as endpoint:
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        command = [sys.executable, "-c", READ, address]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = decode(HubRows, done.stdout.encode())
    assert rows.commit == COMMIT
    assert rows.texts[0] == first
    assert len(rows.texts) == count
