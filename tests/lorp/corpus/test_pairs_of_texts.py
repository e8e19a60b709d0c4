"""Rows that are pairs: read, split, told apart from text by itself, and made windows of."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorp.corpus.address import RowFormat, as_pairs, parse_hub, parse_local
from lorp.corpus.documents import Document, Window
from lorp.corpus.hub import hub_documents, read_rows
from lorp.corpus.local import read_local
from lorp.corpus.pairs import check_pairs, pair_windows
from lorp.corpus.split import calibration_and_evaluation
from lorp.errors import CorpusError
from lorp.spec import CalibrationSpec, EvaluationSpec
from lorp.values import decode, encode

ROWS = [
    {"de": "Hallo", "en": "Hello"},
    {"de": "Welt", "en": "World"},
    {"de": "Hallo", "en": "Hello"},
    {"de": "Hallo", "en": "Hi"},
    {"de": "Servus", "en": "Hi"},
    {"de": " ", "en": "nothing"},
    {"de": "nichts", "en": ""},
]


def bytes_of(text: str) -> list[int]:
    return list(text.encode())


@pytest.fixture(params=["jsonl", "parquet"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"rows.{request.param}"
    if request.param == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def test_an_address_names_both_columns() -> None:
    assert parse_local("rows.jsonl#de:en").rows == RowFormat(column="en", source="de")
    assert parse_local("rows.jsonl#:").rows == RowFormat(column="target", source="source")
    assert parse_hub("hf://datasets/a/b@main#de:en").rows == RowFormat(column="en", source="de")
    assert as_pairs("rows.jsonl") == "rows.jsonl#:"
    assert as_pairs("rows.jsonl#de:en") == "rows.jsonl#de:en"
    for address in ("rows.jsonl#en", "rows.txt", "pydoc", "c4", "", "#a:b"):
        with pytest.raises(CorpusError):
            as_pairs(address)
    with pytest.raises(CorpusError, match="cannot be joined"):
        parse_local("rows.jsonl#de:en,joined")


def test_a_pair_counts_once_and_only_with_both_its_texts(rows: Path) -> None:
    documents = read_local(f"{rows}#de:en")
    texts = [(each.source, each.text) for each in documents]
    assert texts == [("Hallo", "Hello"), ("Welt", "World"), ("Hallo", "Hi"), ("Servus", "Hi")]
    swapped = read_local(f"{rows}#en:de")
    assert not {each.sha256 for each in documents} & {each.sha256 for each in swapped}


@pytest.mark.parametrize("columns", ["de:fr", "fr:en"])
def test_a_missing_column_is_named(rows: Path, columns: str) -> None:
    with pytest.raises(CorpusError, match="'fr'; it has de, en"):
        read_local(f"{rows}#{columns}")


def test_pairs_come_from_a_dataset_too(rows: Path) -> None:
    corpus = parse_hub("hf://datasets/a/b@main#de:en")
    read = read_rows(corpus, "0" * 40, 10**6, repository=str(rows.parent))
    assert (read.source_column, read.sources[:2], read.texts[:2]) == ("de", ("Hallo", "Welt"), ("Hello", "World"))
    assert decode(type(read), encode(read)) == read
    assert [each.source for each in hub_documents(read, False, 8)] == ["Hallo", "Welt", "Hallo", "Servus"]
    plain = read_rows(parse_hub("hf://datasets/a/b@main#en"), "0" * 40, 10**6, repository=str(rows.parent))
    assert b"source" not in encode(plain)


def test_a_window_is_a_pair_cut_off_at_its_end() -> None:
    documents = [Document(id=f"rows/{number}", text="x" * number, source="y" * 9) for number in range(1, 7)]
    windows = pair_windows([documents], bytes_of, 4, 5, seed=0)
    assert len({window.document for window in windows.windows}) == 4
    assert all(window.source == (ord("y"),) * 5 for window in windows.windows)
    assert all(len(window.tokens) == min(5, int(window.document[-1])) for window in windows.windows)
    more = pair_windows([documents], bytes_of, 6, 5, seed=0)
    assert more.windows[:4] == windows.windows
    assert pair_windows([documents], bytes_of, 4, 5, seed=1).windows != windows.windows
    assert len(pair_windows([documents], bytes_of, 9, 5, seed=0, at_least=6).windows) == 6
    with pytest.raises(CorpusError, match="there are 6 pairs, and 9 are asked for"):
        pair_windows([documents], bytes_of, 9, 5, seed=0)


def test_pairs_of_several_corpora_come_in_turn() -> None:
    corpora = [[Document(id=f"{n}:{m}", text="t", source="s") for m in range(3)] for n in (1, 2)]
    windows = pair_windows(corpora, bytes_of, 4, 5, seed=0).windows
    assert [window.document[0] for window in windows] == ["1", "2", "1", "2"]


def test_text_by_itself_and_pairs_are_told_apart() -> None:
    alone, pair = Document(id="a", text="t"), Document(id="b", text="t", source="s")
    check_pairs([alone], None)
    check_pairs([pair], "text")
    with pytest.raises(CorpusError, match="a is text by itself"):
        check_pairs([pair, alone], "text")
    with pytest.raises(CorpusError, match="b is a pair"):
        check_pairs([alone, pair], None)


def test_pairs_whose_sources_are_alike_are_not_in_both_parts(tmp_path: Path) -> None:
    long = "Each of these sentences has more than fifty letters, so that it is compared. " * 3
    rows = [{"source": f"{long} {number % 10}" if number % 2 else f"{number} {'abc' * number}", "target": f"{number}"}
            for number in range(40)]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    address = as_pairs(str(path))
    ours, theirs = calibration_and_evaluation(
        CalibrationSpec(corpora=(address,), window_tokens=512), EvaluationSpec(corpora=(address,), window_tokens=512)
    )
    assert any(long in (document.source or "") for document in ours)
    assert not any(long in (document.source or "") for document in theirs)


def test_windows_without_a_source_have_the_bytes_that_they_had() -> None:
    window = Window(id="a@0", document="a", text_sha256="0", tokens=(1, 2))
    assert encode(window) == b'{"document":"a","id":"a@0","text_sha256":"0","tokens":[1,2]}'
    pair = replace(window, source=(3,))
    assert b'"source":[3]' in encode(pair)
    assert (decode(Window, encode(window)), decode(Window, encode(pair))) == (window, pair)
    assert (pair.num_states(None), pair.num_states("decoder"), pair.num_states("encoder")) == (2, 2, 1)
