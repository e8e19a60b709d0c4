"""Addresses: one grammar, and nothing that it does not say is guessed."""

from pathlib import Path

import pytest

from lorp.corpus.address import HubCorpus, LocalCorpus, RowFormat, is_hub, parse_hub, parse_local
from lorp.errors import CorpusError


def local(path: object, column: str = "text", joined: bool = False) -> LocalCorpus:
    return LocalCorpus(path=Path(str(path)), rows=RowFormat(column=column, joined=joined))


@pytest.mark.parametrize(
    ("address", "corpus"),
    [
        ("a.txt", local("a.txt")),
        ("a#b.txt", local("a#b.txt")),
        ("rows.jsonl", local("rows.jsonl")),
        ("x/rows.jsonl#content", local("x/rows.jsonl", "content")),
        ("rows.JSONL#a b", local("rows.JSONL", "a b")),
        ("rows.parquet#,joined", local("rows.parquet", joined=True)),
        ("rows.parquet#sentence,joined", local("rows.parquet", "sentence", joined=True)),
        ("a#b/rows.parquet#c", local("a#b/rows.parquet", "c")),
        ("nowhere#c", local("nowhere#c")),
    ],
)
def test_a_local_address_is_a_path_and_a_column_where_there_are_rows(address: str, corpus: LocalCorpus) -> None:
    assert parse_local(address) == corpus
    assert not is_hub(address)


def test_a_folder_may_have_a_column_too(tmp_path: Path) -> None:
    assert parse_local(f"{tmp_path}#content") == local(tmp_path, "content")


def test_a_name_with_a_mark_that_exists_is_meant(tmp_path: Path) -> None:
    for name in ("a", "a#b"):
        (tmp_path / name).mkdir()
    assert parse_local(f"{tmp_path}/a#b") == local(f"{tmp_path}/a#b")
    assert parse_local(f"{tmp_path}/a#c") == local(f"{tmp_path}/a", "c")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_local("~/rows.jsonl#c") == local(tmp_path / "rows.jsonl", "c")


@pytest.mark.parametrize(
    ("address", "corpus"),
    [
        ("hf://datasets/o/n@main", ("o/n", "main", None, "train", RowFormat())),
        ("hf://datasets/o/n@v1.0/en", ("o/n", "v1.0", "en", "train", RowFormat())),
        ("hf://datasets/o/n@abc:test", ("o/n", "abc", None, "test", RowFormat())),
        (
            "hf://datasets/o-1/n_2.x@refs/convert/parquet/en.b:validation#sentence,joined",
            ("o-1/n_2.x", "refs/convert/parquet", "en.b", "validation", RowFormat(column="sentence", joined=True)),
        ),
        ("hf://datasets/o/n@refs/pr/3#a,b", ("o/n", "refs/pr/3", None, "train", RowFormat(column="a,b"))),
    ],
)
def test_an_address_on_the_hub_names_dataset_revision_configuration_split_and_column(
    address: str, corpus: tuple[str, str, str | None, str, RowFormat]
) -> None:
    dataset, revision, config, split, rows = corpus
    expected = HubCorpus(dataset=dataset, revision=revision, config=config, split=split, rows=rows)
    assert parse_hub(address) == expected
    assert is_hub(address)


@pytest.mark.parametrize(
    "address",
    [
        "hf://datasets/o/n",
        "hf://datasets/n@main",
        "hf://datasets/o/../n@main",
        "hf://o/n@main",
        "hf://datasets/o/n@a/b/c",
        "hf://datasets/o/n@main:train[:10]",
        "hf://datasets/o/n@main\n",
        "hf://datasets/./n@main",
        "hf://datasets/o/n@",
    ],
)
def test_an_address_on_the_hub_without_dataset_and_revision_is_refused(address: str) -> None:
    with pytest.raises(CorpusError, match="names no dataset at a revision"):
        parse_hub(address)
