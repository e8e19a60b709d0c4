"""A dataset on the hub -> its first rows, streamed, at one commit. Nothing of a dataset is run."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from socket import gaierror
from typing import Any

from lorp.corpus.address import HubCorpus, is_hub
from lorp.corpus.documents import Document, distinct
from lorp.corpus.media import Medium
from lorp.corpus.rows import Row, check_column, row_documents, row_of
from lorp.errors import CorpusError, OutageError, first_line
from lorp.values import LATER

#: Formats that hold nothing but data; others decode images or archives, or ask for libraries of their own.
_FORMATS = ("csv", "json", "parquet", "text")
#: A pair is one window, however long it is.
_MOST_OF_A_PAIR = 8_192
_MOST_OF_MEDIA = 1 << 30
_TOO_MANY, _SERVER_FAULT = 429, 500
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class HubRows:
    """The first rows of a dataset.

    Attributes:
        dataset: `OWNER/NAME`.
        commit: What they were read from.
        config: The dataset's configuration; its default one if none.
        split: The split.
        column: The field that is text.
        texts: A text a row, in their order; empty where a row has none.
        source_column: The field that is what texts are made from, of pairs.
        sources: The same of these.
        media: Instead of these, sounds or images.
    """

    dataset: str
    commit: str
    config: str | None
    split: str
    column: str
    texts: tuple[str, ...]
    source_column: str | None = field(default=None, metadata=LATER)
    sources: tuple[str, ...] = field(default=(), metadata=LATER)
    media: tuple[Medium | None, ...] = field(default=(), metadata=LATER)


def resolve_commit(corpus: HubCorpus) -> str:
    """The commit that a revision stands for; the hub is not asked where it is one.

    Raises:
        CorpusError: The hub does not know the dataset or the revision, or may not be asked.
        OutageError: It does not answer.
    """
    if _COMMIT.fullmatch(corpus.revision):
        return corpus.revision
    from huggingface_hub import HfApi, constants

    try:
        # Without this its client would wait for ever for a hub that accepts and says nothing.
        seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
        commit = HfApi().dataset_info(corpus.dataset, revision=corpus.revision, timeout=seconds).sha
    except Exception as fault:  # whatever a hub or the way to it does is not the code's fault
        raise _unreadable(corpus, fault) from fault
    if not _COMMIT.fullmatch(commit or ""):
        raise CorpusError(f"the hub names no commit for {corpus.dataset}@{corpus.revision}", "Name a commit yourself")
    return str(commit)


def read_rows(corpus: HubCorpus, commit: str, max_characters: int, repository: str | None = None) -> HubRows:
    """Streams rows in their order until `max_characters` are read, or all are.

    A row counts at least one character, and a pair 8,192 at most; no more than a gigabyte of sounds or images is read.

    Args:
        corpus: Which dataset, configuration, split and column.
        commit: At which commit.
        max_characters: After how many characters to stop; the row that reaches them is the last.
        repository: Where the dataset is; on the hub unless given.

    Raises:
        CorpusError: It cannot be read, would run code, or has no such configuration, split or column.
        OutageError: The hub does not answer.
    """
    read: list[Row] = []
    total = held = 0
    for row in _rows(corpus, commit, repository or f"hf://datasets/{corpus.dataset}"):
        where = f"row {len(read) + 1} of {corpus.dataset}"
        fields = {column: row.get(column) for column in corpus.rows.columns}
        read.append(row_of(len(read) + 1, corpus.rows, fields, None, where))
        total += _cost(read[-1], max_characters) + 1
        held += len(read[-1].medium.base64) if read[-1].medium else 0
        if total >= max_characters or held >= _MOST_OF_MEDIA:
            break
    return HubRows(
        dataset=corpus.dataset,
        commit=commit,
        config=corpus.config,
        split=corpus.split,
        column=corpus.rows.column,
        texts=tuple(row.text for row in read),
        source_column=corpus.rows.source,
        sources=tuple(row.source for row in read if row.source is not None),
        media=tuple(row.medium for row in read) if corpus.rows.medium else (),
    )


def _cost(row: Row, most: int) -> int:
    """Characters that a row counts."""
    if row.source is None and row.medium is None:
        return min(len(row.text), most)
    return _MOST_OF_A_PAIR if row.medium else min(len(row.text) + len(row.source or ""), _MOST_OF_A_PAIR)


def hub_documents(rows: HubRows, joined: bool, window_tokens: int) -> tuple[Document, ...]:
    """The documents that rows are, each text once.

    Raises:
        CorpusError: They hold no text.
    """
    nothing = [None] * len(rows.texts)
    pairs = zip(rows.texts, rows.sources or nothing, rows.media or nothing, strict=True)
    numbered = (
        Row(number=number, text=text, source=source, medium=medium)
        for number, (text, source, medium) in enumerate(pairs, start=1)
    )
    documents = distinct(row_documents(rows.dataset, numbered, joined, window_tokens))
    if not documents:
        raise CorpusError(f"column {rows.column!r} of {rows.dataset} is empty", "Name another after a #")
    return documents


def _rows(corpus: HubCorpus, commit: str, repository: str) -> Iterator[Mapping[str, Any]]:
    try:
        yield from _opened(corpus, commit, repository)
    except CorpusError:
        raise
    except Exception as fault:  # a dataset's files can provoke anything in the library that reads them
        raise _unreadable(corpus, fault) from fault


def _opened(corpus: HubCorpus, commit: str, repository: str) -> Iterable[Mapping[str, Any]]:
    from datasets import Audio, Image, load_dataset_builder
    from datasets.utils import disable_progress_bars

    disable_progress_bars()
    builder = load_dataset_builder(repository, name=corpus.config, revision=commit)
    _check_data(builder, repository, commit)
    rows = builder.as_streaming_dataset(split=corpus.split)
    names = rows.column_names or list(next(iter(rows), {}))
    for column in corpus.rows.columns:
        check_column(names, column, f"{corpus.dataset} has no column {column!r}")
    # Other columns could be images: they are not decoded. Nor is the one that is asked for, of a sound or an image.
    columns: Any = rows.select_columns(list(corpus.rows.columns))
    if corpus.rows.medium:
        kinds: Any = {"sound": Audio, "image": Image}
        columns = columns.cast_column(corpus.rows.source, kinds[corpus.rows.medium](decode=False))
    found: Iterable[Mapping[str, Any]] = columns
    return found


def _check_data(builder: Any, repository: str, commit: str) -> None:
    """Only files of this repository at this commit, in formats that hold nothing but data."""
    module = type(builder).__module__.rpartition(".")[2]
    if module not in _FORMATS:
        raise CorpusError(f"{repository} is stored as {module}", f"Give a dataset in one of: {', '.join(_FORMATS)}")
    place = f"{repository}@{commit}/" if is_hub(repository) else f"{repository}/"
    for files in (builder.config.data_files or {}).values():
        for file in files:
            if not str(file).startswith(place) or ".." in str(file).split("/"):
                raise CorpusError(f"{repository} takes text from elsewhere: {file}", "Give another dataset")


def _unreadable(corpus: HubCorpus, fault: Exception) -> CorpusError | OutageError:
    reason = f"{corpus.dataset}@{corpus.revision} cannot be read from the hub: {first_line(fault)}"
    if _is_outage(fault):
        return OutageError(reason, "Look at HF_ENDPOINT and the network, or run again later")
    return CorpusError(
        reason, "Check the address and the connection; a dataset that needs code has to be converted to Parquet first"
    )


def _is_outage(fault: BaseException | None) -> bool:
    """Whether the hub did not answer, or not in earnest; the library wraps what it is told, sometimes several times."""
    from huggingface_hub import constants

    while fault and not constants.HF_HUB_OFFLINE:
        if isinstance(fault, (ConnectionError, TimeoutError, gaierror)) or _is_unserved(fault):
            return True
        fault = fault.__cause__ or fault.__context__
    return False


def _is_unserved(fault: BaseException) -> bool:
    """Whether an HTTP request came to no response, or to one that says that the server cannot answer now."""
    from huggingface_hub.errors import HfHubHTTPError

    http_error = HfHubHTTPError.__bases__[0]  # of whichever client the hub's library is built on
    status = getattr(getattr(fault, "response", None), "status_code", None)
    return isinstance(fault, http_error) and (status is None or status == _TOO_MANY or status >= _SERVER_FAULT)
