"""Text -> documents -> token windows: calibration and evaluation never share a document.

A window is a run of tokens of one document, without special tokens.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorp.digest import digest_bytes, digest_value
from lorp.errors import CorpusError
from lorp.spec import EMBEDDED_CORPUS

_STRETCH_CHARACTERS = 8_000
_CHARACTERS_A_TOKEN = 8
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_MAX_TEXT_BYTES = 1 << 30

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text that counts as one draw from its corpus."""

    id: str
    text: str

    @property
    def sha256(self) -> str:
        """Digest of its text."""
        return digest_bytes(self.text.encode())


@dataclass(frozen=True, kw_only=True)
class Window:
    """Tokens of one document.

    Attributes:
        id: `<document>@<index of its first token>`.
        document: The document's id.
        text_sha256: Digest of the document's text.
        tokens: Token ids, as many as were asked for.
    """

    id: str
    document: str
    text_sha256: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows with one use, and the digest of the documents they come from."""

    corpus_sha256: str
    windows: tuple[Window, ...]


def read_documents(corpus: str, window_tokens: int = 1) -> tuple[Document, ...]:
    """The documents of a corpus, each text once.

    `pydoc` is the Python standard library's help topics, a document a topic. A text file says nothing of documents:
    it is cut at blank lines, and between lines where there are none for long, into stretches of at least 8,000
    characters (more for long windows, so that one fits), and each stretch counts as one.

    Args:
        corpus: `pydoc` or a path.
        window_tokens: The longest window that will be cut.

    Raises:
        CorpusError: No such file, not UTF-8 text, or empty.
    """
    documents = (
        _topics()
        if corpus == EMBEDDED_CORPUS
        else _stretches(Path(corpus), max(_STRETCH_CHARACTERS, _CHARACTERS_A_TOKEN * window_tokens))
    )
    unique = {document.sha256: document for document in reversed(documents) if document.text.strip()}
    if not unique:
        raise CorpusError(f"the text of {corpus} is empty", "Give a file with text in it")
    return tuple(reversed(unique.values()))


def split_documents(documents: Sequence[Document], seed: int) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Splits whole documents into two disjoint parts of about the same number of characters.

    Raises:
        CorpusError: Fewer than two documents.
    """
    if len(documents) < 2:
        raise CorpusError(
            "one document cannot be split into calibration and evaluation",
            "Give more text, or a second file with --evaluation",
        )
    shuffled = random.Random(seed).sample(documents, len(documents))
    parts: tuple[list[Document], list[Document]] = ([], [])
    sizes = [0, 0]
    for document in shuffled:
        smaller = 0 if sizes[0] <= sizes[1] else 1
        parts[smaller].append(document)
        sizes[smaller] += len(document.text)
    return tuple(parts[0]), tuple(parts[1])


def calibration_and_evaluation(
    calibration: str, evaluation: str, seed: int, window_tokens: int = 1
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """The documents of both corpora; one corpus named twice is split.

    Raises:
        CorpusError: Text is missing or empty, cannot be split, or two files share a document.
    """
    if calibration == evaluation:
        return split_documents(read_documents(calibration, window_tokens), seed)
    ours, theirs = read_documents(calibration, window_tokens), read_documents(evaluation, window_tokens)
    if {document.sha256 for document in ours} & {document.sha256 for document in theirs}:
        raise CorpusError("calibration and evaluation share text", "Name one file for both, and it is split for you")
    return ours, theirs


def documents_digest(documents: Sequence[Document]) -> str:
    """Digest over the documents' ids and texts, in their order."""
    return digest_value([[document.id, document.sha256] for document in documents])


def cut_windows(
    documents: Sequence[Document], tokenize: Tokenize, num_windows: int, window_tokens: int, seed: int
) -> Windows:
    """Chooses windows that do not overlap, from as many documents as possible.

    Documents are taken in a seeded order, one window from each in turn, until the number is met; no more of them are
    tokenized than that takes.

    Raises:
        CorpusError: The text gives fewer windows; says how many.
    """
    piles: list[list[Window]] = []
    for document in random.Random(seed).sample(documents, len(documents)):
        windows = _cut(document, tokenize(document.text), window_tokens)
        if windows:
            piles.append(random.Random(f"{seed}/{document.id}").sample(windows, len(windows)))
        if len(piles) == num_windows:
            break
    available = sum(map(len, piles))
    if available < num_windows:
        raise CorpusError(
            f"too little text: it gives {available} windows of {window_tokens} tokens, and {num_windows} are asked for",
            "Give more text, or ask for fewer or shorter windows",
        )
    deepest = max(map(len, piles))
    in_turn = [pile[round_] for round_ in range(deepest) for pile in piles if round_ < len(pile)]
    return Windows(corpus_sha256=documents_digest(documents), windows=tuple(in_turn[:num_windows]))


def _cut(document: Document, tokens: list[int], window_tokens: int) -> list[Window]:
    sha256 = document.sha256
    return [
        Window(
            id=f"{document.id}@{start}",
            document=document.id,
            text_sha256=sha256,
            tokens=tuple(tokens[start : start + window_tokens]),
        )
        for start in range(0, len(tokens) - window_tokens + 1, window_tokens)
    ]


def _topics() -> list[Document]:
    from pydoc_data.topics import topics

    return [Document(id=f"{EMBEDDED_CORPUS}/{name}", text=topics[name]) for name in sorted(topics)]


def _stretches(path: Path, at_least: int) -> list[Document]:
    documents: list[Document] = []
    gathered = ""
    for piece in _pieces(_read_text(path), at_least):
        gathered += piece
        if len(gathered) >= at_least:
            documents.append(Document(id=f"{path.name}/{len(documents)}", text=gathered))
            gathered = ""
    return [*documents, Document(id=f"{path.name}/{len(documents)}", text=gathered)]


def _pieces(text: str, at_most: int) -> Iterator[str]:
    """The text's paragraphs, and the lines of those that are longer than `at_most` characters."""
    for paragraph in _BLANK_LINE.split(text):
        if len(paragraph) <= at_most:
            yield paragraph + "\n\n"
        else:
            yield from paragraph.splitlines(keepends=True)
            yield "\n\n"


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise CorpusError(f"there is no text file {path}", f"Give a UTF-8 text file, or {EMBEDDED_CORPUS}")
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise CorpusError(f"{path} is larger than 1 GiB", "Give a part of it")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise CorpusError(f"{path} is no UTF-8 text: {fault}", "Give a UTF-8 text file") from None
