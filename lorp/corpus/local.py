"""A file or a folder on this disk, or the embedded corpus -> its documents."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from lorp.corpus.address import ROW_SUFFIXES, LocalCorpus, RowFormat, parse_local
from lorp.corpus.documents import Document, checked_text, distinct
from lorp.corpus.rows import SEPARATOR, Row, jsonl_rows, parquet_rows, row_documents
from lorp.corpus.stretches import stretches
from lorp.errors import CorpusError
from lorp.spec import EMBEDDED_CORPUS

MAX_CHARACTERS = 1 << 30
_MAX_FILES = 100_000
_WHOLE_SUFFIXES = (".txt", ".md")
_Text = TypeVar("_Text", Document, Row)
_KINDS = f"a UTF-8 text file, .jsonl, .parquet, a folder of those, a dataset as hf://datasets/..., or {EMBEDDED_CORPUS}"


def read_local(address: str, window_tokens: int = 1) -> tuple[Document, ...]:
    """The documents of a corpus on this machine, each text once.

    `pydoc` is the Python standard library's help topics, a document a topic. Rows of JSONL and Parquet files are
    documents, unless they are to be joined. So are the `.txt` and `.md` files of a folder, which is read with all
    folders below it in the order of names; hidden files are left out. Any other file is text that says nothing of
    documents, and is cut into stretches.

    Args:
        address: `pydoc`, or as `lorp.corpus.address` says.
        window_tokens: The longest window that will be cut; stretches follow it.

    Raises:
        CorpusError: Nothing there, unreadable, not UTF-8 text, empty, or over 1 GiB.
    """
    try:
        documents = distinct(_bounded(address, _documents(address, window_tokens)))
    except OSError as fault:
        raise CorpusError(f"{address} cannot be read: {fault}", "Look at its permissions, or copy it") from None
    if not documents:
        raise CorpusError(f"the text of {address} is empty", "Give a file with text in it")
    return documents


def _bounded(what: str, texts: Iterable[_Text], separator: str = "") -> Iterator[_Text]:
    total = 0
    for text in texts:
        medium = text.medium.base64 if text.medium else ""
        total += len(text.text) + len(text.source or "") + len(medium) + len(separator)
        if total > MAX_CHARACTERS:
            raise _too_large(what)
        yield text


def _documents(address: str, window_tokens: int) -> Iterator[Document]:
    if address == EMBEDDED_CORPUS:
        return _topics()
    corpus = parse_local(address)
    if corpus.path.is_dir():
        return _folder_documents(corpus, window_tokens)
    if not corpus.path.is_file():
        raise CorpusError(f"there is no text file {corpus.path}", f"Give {_KINDS}")
    if corpus.path.suffix.lower() in ROW_SUFFIXES:
        rows = _rows(corpus.path, corpus.rows)
        return row_documents("text" if corpus.rows.joined else "rows", rows, corpus.rows.joined, window_tokens)
    return stretches("text", _read_text(corpus.path), window_tokens)


def _topics() -> Iterator[Document]:
    from pydoc_data.topics import topics

    return (Document(id=f"{EMBEDDED_CORPUS}/{name}", text=topics[name]) for name in sorted(topics))


def _folder_documents(corpus: LocalCorpus, window_tokens: int) -> Iterator[Document]:
    files = _folder_files(corpus.path)
    if not files:
        raise CorpusError(f"{corpus.path} holds no .txt, .md, .jsonl or .parquet file", f"Give {_KINDS}")
    for path in files:
        label = path.relative_to(corpus.path).as_posix().encode("utf-8", "backslashreplace").decode()
        if path.suffix.lower() in ROW_SUFFIXES:
            yield from row_documents(label, _rows(path, corpus.rows), corpus.rows.joined, window_tokens)
        else:
            yield Document(id=label, text=_read_text(path))


def _folder_files(folder: Path) -> list[Path]:
    """The files of a folder that hold text, in the order of their names; none is left out without a word."""
    inside, found = folder.resolve(), []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in (*folders, *names) if not name.startswith(".")):
            if path.is_symlink():
                _check_link(path, inside)
            if path.suffix.lower() in (*ROW_SUFFIXES, *_WHOLE_SUFFIXES) and path.is_file():
                found.append(path)
        if len(found) > _MAX_FILES:
            raise CorpusError(f"{folder} holds more than {_MAX_FILES} files of text", "Put them into one .jsonl file")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _refuse(fault: OSError) -> NoReturn:
    raise fault


def _check_link(path: Path, inside: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(inside):
        raise CorpusError(f"{path} is a link that leads out of the folder", "Copy what it points at")
    if not path.is_file():
        raise CorpusError(f"{path} is a link to no file", "Copy what it points at, or remove it")


def _rows(path: Path, form: RowFormat) -> Iterator[Row]:
    _check_size(path)
    read = jsonl_rows if path.suffix.lower() == ".jsonl" else parquet_rows
    # Before they are joined: a small file can hold any number of rows.
    return _bounded(str(path), read(path, form), SEPARATOR if form.joined else "")


def _read_text(path: Path) -> str:
    _check_size(path)
    try:
        return checked_text(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as fault:
        raise CorpusError(f"{path} is no UTF-8 text: {fault}", "Give a UTF-8 text file") from None


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_CHARACTERS:
        raise _too_large(str(path))


def _too_large(what: str) -> CorpusError:
    return CorpusError(f"{what} is larger than 1 GiB", "Give a part of it")
