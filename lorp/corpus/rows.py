"""Rows of JSONL and Parquet -> texts -> documents. Nothing in a row is trusted: sizes are bounded, kinds checked."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorp.corpus.address import RowFormat
from lorp.corpus.documents import Document, checked_text
from lorp.corpus.stretches import stretches
from lorp.errors import CorpusError

#: Between rows that are joined.
SEPARATOR = "\n\n"
_BATCH_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row's text, its number from 1 (JSONL: its line), and what the text is made from, of pairs."""

    number: int
    text: str
    source: str | None = None


def row_documents(label: str, rows: Iterable[Row], joined: bool, window_tokens: int) -> Iterator[Document]:
    """A document a row; or, of rows that are pieces of one text, its stretches, the pieces set apart by blank lines."""
    if joined:
        yield from stretches(label, SEPARATOR.join(row.text for row in rows), window_tokens)
    else:
        for row in rows:
            yield Document(id=f"{label}/{row.number}", text=row.text, source=row.source)


def jsonl_rows(path: Path, form: RowFormat) -> Iterator[Row]:
    """The rows of a JSONL file, an object a line; blank lines are none.

    Raises:
        CorpusError: A line is no JSON object in UTF-8, or has no such text.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                row = _json_object(line, f"line {number} of {path}")
                yield _row(number, [_text(row, column, path, number) for column in form.columns])


def parquet_rows(path: Path, form: RowFormat) -> Iterator[Row]:
    """The rows of a Parquet file; only the column of texts is decoded.

    Raises:
        CorpusError: Not Parquet, no such column, or one that holds no text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _check_schema(pq.read_schema(path), form, path)
        # As a dictionary, a value that repeats a million times is held once.
        with pq.ParquetFile(path, read_dictionary=list(form.columns)) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(form.columns)):
                for values in zip(*(batch.column(name) for name in form.columns), strict=True):
                    number += 1
                    yield _row(number, [checked_text(value.as_py(), f"row {number} of {path}") for value in values])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as fault:
        raise CorpusError(f"{path} is no readable Parquet file: {fault}", "Give a sound one") from None


def _check_schema(schema: Any, form: RowFormat, path: Path) -> None:
    import pyarrow as pa

    for column in form.columns:
        check_column(schema.names, column, f"{path} has no column {column!r}")
        if schema.names.count(column) > 1:
            raise CorpusError(f"{path} has several columns {column!r}", "Give each a name of its own")
        kind = schema.field(column).type
        values = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(values) or pa.types.is_large_string(values)):
            raise CorpusError(f"column {column!r} of {path} holds {kind}, no text", "Name another after a #")


def _json_object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as fault:
        raise CorpusError(f"{where} is no JSON: {fault}", "Give one object a line, in UTF-8") from None
    if not isinstance(value, dict):
        raise CorpusError(f"{where} is no JSON object", "Give one object a line, in UTF-8")
    return value


def _text(row: dict[str, Any], column: str, path: Path, number: int) -> str:
    check_column(list(row), column, f"line {number} of {path} has no field {column!r}")
    return checked_text(row[column], f"line {number} of {path}")


def _row(number: int, texts: list[str]) -> Row:
    """Of the text alone, or of its source and the text."""
    return Row(number=number, text=texts[-1], source=texts[0] if len(texts) > 1 else None)


def check_column(names: list[str], column: str, reason: str) -> None:
    """Refuses rows without the field that shall be text.

    Raises:
        CorpusError: There is none of that name; tells those there are.
    """
    if column not in names:
        has = f"it has {', '.join(map(str, names[:8]))}" if names else "it has none"
        raise CorpusError(f"{reason}; {has}", "Name the one that holds text after a #, such as rows.jsonl#content")
