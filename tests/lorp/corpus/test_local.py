"""Text on this disk: document boundaries are kept, and what is no text is refused by file and row."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import paragraphs, text_file, texts

from lorp.corpus import local
from lorp.corpus.documents import documents_digest
from lorp.corpus.local import read_local
from lorp.errors import CorpusError


def jsonl(folder: Path, rows: Sequence[object], name: str = "rows.jsonl") -> str:
    return text_file(folder, "".join(json.dumps(row) + "\n" for row in rows), name)


def parquet(folder: Path, name: str = "rows.parquet", **columns: list[object]) -> str:
    pq.write_table(pa.table(columns), folder / name)
    return str(folder / name)


def test_the_embedded_corpus_has_many_documents_each_once() -> None:
    found = read_local("pydoc")
    assert len(found) >= 30
    assert len({document.id for document in found}) == len({document.text for document in found}) == len(found)
    assert found == read_local("pydoc")


def test_a_file_is_cut_at_blank_lines_into_stretches_of_at_least_8000_characters(tmp_path: Path) -> None:
    text = paragraphs(100)
    found = read_local(text_file(tmp_path, text))
    assert len(found) > 2
    assert all(len(document.text) >= 8_000 for document in found[:-1])
    gathered = [paragraph for document in found for paragraph in document.text.split("\n\n") if paragraph]
    assert gathered == text.split("\n\n")


def test_documents_of_a_file_are_numbered(tmp_path: Path) -> None:
    found = read_local(text_file(tmp_path, paragraphs(40)))
    assert [document.id for document in found] == [f"text/{number}" for number in range(1, len(found) + 1)]


def test_a_text_that_comes_twice_is_one_document(tmp_path: Path) -> None:
    first, second = (f"{paragraphs(16, seed)}\n\n" for seed in (1, 2))
    found = read_local(text_file(tmp_path, first + second + first))
    assert sorted(text.strip() for text in texts(found)) == sorted([first.strip(), second.strip()])


@pytest.mark.parametrize("text", ["", " ", "\n\n \t\r\n\n", "\n" * 20_000], ids=["empty", "space", "blank", "lines"])
def test_a_file_without_text_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CorpusError, match="empty"):
        read_local(text_file(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no text file"):
        read_local(str(tmp_path / "nothing.txt"))


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(CorpusError, match="no UTF-8 text"):
        read_local(str(tmp_path / "latin.txt"))


@pytest.mark.parametrize("separator", ["\n\n", "\n \n", "\n"], ids=["blank line", "line of a space", "line"])
def test_a_text_is_cut_wherever_it_can_be(tmp_path: Path, separator: str) -> None:
    (tmp_path / "text.txt").write_text(separator.join(f"Number {number} of many. " * 20 for number in range(200)))
    assert len(read_local(str(tmp_path / "text.txt"))) > 5


def test_stretches_follow_long_windows(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(f"Number {number} of many. " * 20 for number in range(400)))
    documents = read_local(str(tmp_path / "text.txt"), window_tokens=4096)
    assert all(len(document.text) >= 4096 for document in documents[:-1])


ROWS = ["one", " ", "two\nlines", "", "one", "three"]
KEPT = [("rows/1", "one"), ("rows/3", "two\nlines"), ("rows/6", "three")]


@pytest.mark.parametrize("column", ["text", "content"])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_are_documents_each_text_once(tmp_path: Path, kind: str, column: str) -> None:
    path = (
        jsonl(tmp_path, [{"n": 3, column: text} for text in ROWS])
        if kind == "jsonl"
        else parquet(tmp_path, n=list(range(6)), **{column: ROWS})
    )
    found = read_local(path if column == "text" else f"{path}#content")
    assert [(document.id, document.text) for document in found] == KEPT


@given(rows=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
@settings(deadline=None, max_examples=50)
def test_jsonl_and_parquet_hold_the_same_documents(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    if not any(text.strip() for text in rows):
        rows = [*rows, "text"]
    one = read_local(jsonl(folder, [{"text": text} for text in rows]))
    assert one == read_local(parquet(folder, text=list(rows)))
    assert set(texts(one)) == {text for text in rows if text.strip()}


def test_joined_rows_are_one_text_cut_into_stretches(tmp_path: Path) -> None:
    lines = paragraphs(100).split("\n\n")
    path = jsonl(tmp_path, [{"text": line} for line in lines])
    assert read_local(f"{path}#text,joined") == read_local(text_file(tmp_path, "\n\n".join(lines)))
    assert len(read_local(path)) == 100


def test_a_row_without_a_value_has_no_text(tmp_path: Path) -> None:
    assert texts(read_local(jsonl(tmp_path, [{"text": None}, {"text": "a"}]))) == ["a"]
    assert texts(read_local(parquet(tmp_path, text=[None, "a"]))) == ["a"]


def test_a_line_separator_inside_a_row_does_not_end_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('\ufeff{"text": "a\u2028b"}\r\n\r\n{"text": "c"}'.encode())
    assert [(document.id, document.text) for document in read_local(str(path))] == [
        ("rows/1", "a\u2028b"),
        ("rows/3", "c"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "line 2 of .*rows.jsonl is no JSON"),
        (b'"text"', "line 2 of .*rows.jsonl is no JSON object"),
        (b'{"text": "\xff"}', "line 2 of .*rows.jsonl is no JSON"),
        (b"[" * 100_000, "line 2 of .*rows.jsonl is no JSON"),
        (b'{"text": ' + b"1" * 5_000 + b"}", "line 2 of .*rows.jsonl is no JSON"),
        (b'{"words": "a", "n": 3}', "line 2 of .*rows.jsonl has no field 'text'; it has words, n"),
        (b"{}", "line 2 of .*rows.jsonl has no field 'text'; it has none"),
        (b'{"text": 3}', "line 2 of .*rows.jsonl is no text but int"),
        (b'{"text": "\\u0000"}', "line 2 of .*rows.jsonl holds a NUL"),
        (b'{"text": "\\ud800"}', "line 2 of .*rows.jsonl holds half a surrogate"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)
def test_a_bad_row_is_refused_by_its_number(tmp_path: Path, line: bytes, reason: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "a"}\n' + line + b"\n")
    with pytest.raises(CorpusError, match=reason):
        read_local(str(tmp_path / "rows.jsonl"))


def test_a_parquet_file_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="has no column 'text'; it has words, n"):
        read_local(parquet(tmp_path, words=["a"], n=[3]))
    with pytest.raises(CorpusError, match=r"column 'text' of .*rows.parquet holds int64, no text"):
        read_local(parquet(tmp_path, text=[3]))
    with pytest.raises(CorpusError, match=r"row 2 of .*rows.parquet holds a NUL"):
        read_local(parquet(tmp_path, text=["a", "\0"]))
    with pytest.raises(CorpusError, match="empty"):
        read_local(parquet(tmp_path, text=pa.array([], pa.string())))


def test_a_parquet_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), tmp_path / "rows.parquet")
    with pytest.raises(CorpusError, match=r"rows.parquet has several columns 'text'"):
        read_local(str(tmp_path / "rows.parquet"))


@pytest.mark.parametrize("kept", [0, -20, 4])
def test_a_broken_parquet_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = Path(parquet(tmp_path, text=["some text"] * 30))
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 60 + data[64:] if kept == 4 else data[:kept])
    with pytest.raises(CorpusError, match="no readable Parquet file"):
        read_local(str(path))


def test_a_folder_is_read_in_the_order_of_names_with_its_boundaries(tmp_path: Path) -> None:
    text_file(tmp_path, "b\n\n" * 9_000, "b.txt")
    text_file(tmp_path, "a", "sub/a.md")
    text_file(tmp_path, " ", "sub/blank.txt")
    text_file(tmp_path, "print()", "code.py")
    text_file(tmp_path, "hidden", ".git/hidden.md")
    text_file(tmp_path, "hidden", ".hidden.txt")
    jsonl(tmp_path, [{"text": "r"}, {"text": "s"}], "rows.JSONL")
    assert [(document.id, document.text[:1]) for document in read_local(str(tmp_path))] == [
        ("b.txt", "b"), ("rows.JSONL/1", "r"), ("rows.JSONL/2", "s"), ("sub/a.md", "a"),
    ]  # fmt: skip


def test_a_folders_rows_take_their_column_from_its_address(tmp_path: Path) -> None:
    jsonl(tmp_path, [{"content": "r"}])
    parquet(tmp_path, content=["s"])
    assert texts(read_local(f"{tmp_path}#content")) == ["r", "s"]
    with pytest.raises(CorpusError, match=r"rows.jsonl has no field 'text'"):
        read_local(str(tmp_path))


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_out_of_a_folder_is_refused(tmp_path: Path, target: str) -> None:
    text_file(tmp_path, "secret", "outside/secret.txt")
    text_file(tmp_path, "a", "inside/a.txt")
    (tmp_path / "inside/b.txt").symlink_to(tmp_path / "inside/a.txt")
    assert texts(read_local(str(tmp_path / "inside"))) == ["a"]
    outside = tmp_path / ("outside/secret.txt" if target == "file" else "outside")
    (tmp_path / "inside" / ("c.txt" if target == "file" else "c")).symlink_to(outside)
    with pytest.raises(CorpusError, match=r"inside/c.* is a link that leads out"):
        read_local(str(tmp_path / "inside"))


@pytest.mark.parametrize("target", ["sub", "nothing.txt", "link.txt"], ids=["folder", "nothing", "itself"])
def test_a_link_to_no_file_is_refused(tmp_path: Path, target: str) -> None:
    text_file(tmp_path, "a", "sub/a.txt")
    (tmp_path / "link.txt").symlink_to(tmp_path / target)
    with pytest.raises(CorpusError, match=r"link.txt is a link to no file"):
        read_local(str(tmp_path))


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, since permissions do not bind a superuser."""
    text_file(tmp_path, "a", "a.txt")
    jsonl(tmp_path, [{"text": "r"}], "sub/rows.jsonl")
    scandir = os.scandir

    def denied(path: Path | str) -> object:
        if Path(path).name == "sub":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", denied)
        with pytest.raises(CorpusError, match=r"cannot be read: .*Permission denied: .*sub"):
            read_local(str(tmp_path))

    def unopened(path: Path, *_: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", unopened)
    with pytest.raises(CorpusError, match=r"cannot be read: .*Permission denied: .*rows.jsonl"):
        read_local(str(tmp_path / "sub/rows.jsonl"))


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no .txt"):
        read_local(str(tmp_path))


def test_a_new_name_or_place_changes_nothing(tmp_path: Path) -> None:
    for name in ("text.txt", "rows.jsonl"):
        content = paragraphs(40) if name == "text.txt" else '{"text": "a"}\n{"text": "b"}'
        one = read_local(text_file(tmp_path, content, name))
        other = read_local(text_file(tmp_path, content, f"elsewhere/renamed-{name}"))
        assert documents_digest(one) == documents_digest(other)


@pytest.mark.parametrize("kind", ["text", "rows", "parquet", "folder"])
def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(local, "MAX_CHARACTERS", 3_000)
    if kind == "folder":
        text_file(tmp_path, "a" * 2_000, "folder/a.txt")
        text_file(tmp_path, "b" * 2_000, "folder/b.md")
    address = {
        "text": lambda: text_file(tmp_path, "a " * 2_000),
        "rows": lambda: jsonl(tmp_path, [{"text": "a" * 4_000}]),
        # Small on the disk, large when it is decoded.
        "parquet": lambda: parquet(tmp_path, text=["abcd" * 250] * 5_000),
        "folder": lambda: str(tmp_path / "folder"),
    }[kind]()
    with pytest.raises(CorpusError, match="larger than 1 GiB"):
        read_local(address)


@pytest.mark.parametrize("text", ["a" * 100, ""], ids=["text", "nothing"])
def test_joined_rows_are_read_no_further_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(local, "MAX_CHARACTERS", 3_000)
    # What would be refused, were it read.
    path = parquet(tmp_path, text=[text] * 2_000 + ["\0"])
    with pytest.raises(CorpusError, match=r"rows.parquet is larger than 1 GiB"):
        read_local(f"{path}#text,joined")


def test_a_text_with_a_byte_order_mark_is_text(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("\ufeffa".encode())
    assert texts(read_local(str(tmp_path / "text.txt"))) == ["a\n\n"]
