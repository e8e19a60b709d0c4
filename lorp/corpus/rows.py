"""Rows of JSONL and Parquet -> texts -> documents. Nothing in a row is trusted: sizes are bounded, kinds checked."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorp.corpus.address import RowFormat
from lorp.corpus.documents import Document, checked_text
from lorp.corpus.media import Medium, medium_of
from lorp.corpus.stretches import stretches
from lorp.errors import CorpusError

#: Between rows that are joined.
SEPARATOR = "\n\n"
_BATCH_ROWS = 1024
#: Of sounds and images, each of which may have megabytes.
_BATCH_MEDIA = 16


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row's text, its number from 1 (JSONL: its line), and what the text is made from, of pairs."""

    number: int
    text: str
    source: str | None = None
    medium: Medium | None = None


def row_documents(label: str, rows: Iterable[Row], joined: bool, window_tokens: int) -> Iterator[Document]:
    """A document a row; or, of rows that are pieces of one text, its stretches, the pieces set apart by blank lines."""
    if joined:
        yield from stretches(label, SEPARATOR.join(row.text for row in rows), window_tokens)
    else:
        for row in rows:
            yield Document(id=f"{label}/{row.number}", text=row.text, source=row.source, medium=row.medium)


def jsonl_rows(path: Path, form: RowFormat) -> Iterator[Row]:
    """The rows of a JSONL file, an object a line; blank lines are none.

    Raises:
        CorpusError: A line is no JSON object in UTF-8, or has no such text.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"line {number} of {path}"
                row = _json_object(line, where)
                for column in form.columns:
                    check_column(list(row), column, f"{where} has no field {column!r}")
                yield row_of(number, form, row, path.parent, where)


def parquet_rows(path: Path, form: RowFormat) -> Iterator[Row]:
    """The rows of a Parquet file; only the columns that are asked for are decoded.

    Raises:
        CorpusError: Not Parquet, no such column, or one that holds no text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _check_schema(pq.read_schema(path), form, path)
        # As a dictionary, a value that repeats a million times is held once.
        texts = [column for column in form.columns if not (form.medium and column == form.source)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            number = 0
            for batch in file.iter_batches(
                batch_size=_BATCH_MEDIA if form.medium else _BATCH_ROWS, columns=list(form.columns)
            ):
                for values in zip(*(batch.column(name) for name in form.columns), strict=True):
                    number += 1
                    row = {name: value.as_py() for name, value in zip(form.columns, values, strict=True)}
                    yield row_of(number, form, row, path.parent, f"row {number} of {path}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as fault:
        raise CorpusError(f"{path} is no readable Parquet file: {fault}", "Give a sound one") from None


def _check_schema(schema: Any, form: RowFormat, path: Path) -> None:
    import pyarrow as pa

    for column in form.columns:
        check_column(schema.names, column, f"{path} has no column {column!r}")
        if schema.names.count(column) > 1:
            raise CorpusError(f"{path} has several columns {column!r}", "Give each a name of its own")
        if form.medium and column == form.source:
            continue
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


def row_of(number: int, form: RowFormat, row: Mapping[str, Any], folder: Path | None, where: str) -> Row:
    """A row of the text alone, or of what it is made from and the text.

    Args:
        number: Its number from 1.
        form: Which fields are what.
        row: The fields.
        folder: Where files that it names lie; None where it can name none.
        where: It, in the words of an error.

    Raises:
        CorpusError: A field is not what it has to be.
    """
    text = checked_text(row[form.column], where)
    if form.source is None:
        return Row(number=number, text=text)
    if form.medium is None:
        return Row(number=number, text=text, source=checked_text(row[form.source], where))
    medium = medium_of(form.medium, row[form.source], folder, where)
    return Row(number=number, text=text if medium else "", medium=medium)


def check_column(names: list[str], column: str, reason: str) -> None:
    """Refuses rows without the field that shall be text.

    Raises:
        CorpusError: There is none of that name; tells those there are.
    """
    if column not in names:
        has = f"it has {', '.join(map(str, names[:8]))}" if names else "it has none"
        raise CorpusError(f"{reason}; {has}", "Name the one that holds text after a #, such as rows.jsonl#content")
