"""An address as people give it -> what it names on a disk or on the hub.

Rows of JSONL and Parquet: `PATH[#COLUMN[,joined]]`. Rows on the hub:
`hf://datasets/OWNER/NAME@REVISION[/CONFIG][:SPLIT][#COLUMN[,joined]]`, where REVISION is a commit, a tag, a branch
without `/`, or one of the hub's own `refs/convert/NAME` and `refs/pr/NUMBER`. COLUMN is `text` and SPLIT `train` unless
given.
`joined` means that rows are no documents but pieces of one text, such as lines. A COLUMN of the form SOURCE:TARGET
names two: rows are pairs, of a text and what a model is to make it from: a text, or with `,sound` or `,image` in place
of `,joined` that.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lorp.corpus.media import MEDIUM_KINDS, MediumKind, PairKind
from lorp.errors import CorpusError

HUB = "hf://"
ROW_SUFFIXES = (".jsonl", ".parquet")

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HUB_ADDRESS = re.compile(
    rf"hf://datasets/(?P<dataset>{_NAME}/{_NAME})@(?P<revision>refs/(?:convert|pr)/{_NAME}|{_NAME})"
    rf"(?:/(?P<config>{_NAME}))?(?::(?P<split>{_NAME}))?(?:#(?P<rows>.*))?"
)
_JOINED = ",joined"


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """How rows become documents.

    Attributes:
        column: Which of a row's fields is text.
        joined: Whether rows are pieces of one text; each is a document otherwise.
        source: Which of them is what the text is made from, of pairs.
        medium: What that is, if it is no text.
    """

    column: str = "text"
    joined: bool = False
    source: str | None = None
    medium: MediumKind | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that are read."""
        return (self.column,) if self.source is None else (self.source, self.column)


@dataclass(frozen=True, kw_only=True)
class LocalCorpus:
    """A file or a folder."""

    path: Path
    rows: RowFormat


@dataclass(frozen=True, kw_only=True)
class HubCorpus:
    """A split of a dataset on the hub, at a revision that need not be a commit yet."""

    dataset: str
    revision: str
    config: str | None
    split: str
    rows: RowFormat


def is_hub(address: str) -> bool:
    """Whether an address is of the hub."""
    return address.startswith(HUB)


def parse_local(address: str) -> LocalCorpus:
    """The file or folder that an address names; `#` is part of a name that exists, or where no rows can be meant.

    A leading `~/` is the home folder: in a configuration file no shell expands it.
    """
    if address.startswith("~/"):
        address = str(Path(address).expanduser())
    path, mark, rows = address.rpartition("#")
    if mark and not Path(address).exists() and (path.lower().endswith(ROW_SUFFIXES) or Path(path).is_dir()):
        return LocalCorpus(path=Path(path), rows=_row_format(rows))
    return LocalCorpus(path=Path(address), rows=RowFormat())


def parse_hub(address: str) -> HubCorpus:
    """The dataset that an address names.

    Raises:
        CorpusError: It does not have the form above.
    """
    found = _HUB_ADDRESS.fullmatch(address)
    if not found:
        raise CorpusError(
            f"{address} names no dataset at a revision",
            "Write hf://datasets/OWNER/NAME@REVISION, then /CONFIG, :SPLIT and #COLUMN as needed",
        )
    return HubCorpus(
        dataset=found["dataset"],
        revision=found["revision"],
        config=found["config"],
        split=found["split"] or "train",
        rows=_row_format(found["rows"] or ""),
    )


def _row_format(text: str) -> RowFormat:
    joined = text.endswith(_JOINED)
    medium = next((kind for kind in MEDIUM_KINDS if text.endswith(f",{kind}")), None)
    source, colon, column = text.removesuffix(_JOINED).removesuffix(f",{medium}").rpartition(":")
    if colon and joined:
        raise CorpusError(f"pairs of {source} and {column} cannot be joined", "Leave ,joined out")
    if colon:
        return RowFormat(column=column or "target", source=source or "source", medium=medium)
    if medium:
        raise CorpusError(f"{text!r} names one column, and a pair has two", f"Write #SOURCE:TARGET,{medium}")
    return RowFormat(column=column or "text", joined=joined)


def as_pairs(address: str) -> str:
    """An address of rows that are pairs; their columns are `source` and `target` unless it names them.

    Raises:
        CorpusError: It is not of rows, or names one column.
    """
    path, mark, columns = address.rpartition("#") if "#" in address else (address, "", "")
    if not is_hub(path) and not path.lower().endswith(ROW_SUFFIXES) and not (path and Path(path).is_dir()):
        remedy = "Give a .jsonl or .parquet file, a folder of those, or a dataset on the hub"
        raise CorpusError(f"{path!r} holds no rows that could be pairs", remedy)
    if mark and ":" not in columns:
        raise CorpusError(f"{columns!r} is one column, and a pair has two", "Write #SOURCE:TARGET")
    return address if mark else f"{address}#:"


def pair_kind(address: str) -> PairKind | None:
    """From what the texts of an address are made; None if it is text by itself.

    The address alone tells: whoever reads it elsewhere, where there is no such file, reads the same.

    Raises:
        CorpusError: It does not have the form above.
    """
    path, _, columns = address.rpartition("#") if "#" in address else (address, "", "")
    if is_hub(address):
        rows = parse_hub(address).rows
    else:
        names_columns = path.lower().endswith(ROW_SUFFIXES) or "/" not in columns
        rows = _row_format(columns) if ":" in columns and names_columns else RowFormat()
    return None if rows.source is None else rows.medium or "text"
