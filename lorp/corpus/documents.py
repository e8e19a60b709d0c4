"""What the modules of this package hand on: documents, windows, and the digest that pins them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorp.corpus.media import Medium
from lorp.digest import digest_bytes, digest_value
from lorp.errors import CorpusError
from lorp.plan import Stack
from lorp.values import LATER


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text that counts as one draw from its corpus.

    Attributes:
        id: Where it is in its corpus, such as `pydoc/if`, `text/3` or `rows/17`, numbered from 1; it holds no file's
            own name, so that renaming a file changes nothing.
        text: Its text.
        source: What an encoder-decoder is to make it from; None for text by itself.
        medium: The sound or image that a model is to make it from.
    """

    id: str
    text: str
    source: str | None = None
    medium: Medium | None = None

    @property
    def whole(self) -> str:
        """All that it says."""
        return self.text if self.source is None else f"{self.source}\n{self.text}"

    @property
    def sha256(self) -> str:
        """Digest of its text, and of what it is made from, if anything."""
        if self.medium:
            return digest_value([self.medium.kind, self.medium.sha256, self.text])
        return digest_bytes(self.text.encode()) if self.source is None else digest_value([self.source, self.text])

    @property
    def is_pair(self) -> bool:
        """Whether there is something that its text is to be made from."""
        return self.source is not None or self.medium is not None


@dataclass(frozen=True, kw_only=True)
class Window:
    """Tokens of one document, or of a few packed together.

    Attributes:
        id: `<document>@<index of its first token>`.
        document: The document's id; of packed ones, that of the first, and how many more there are.
        text_sha256: Digest of the document's text, or of the packed documents' texts.
        tokens: Token ids, as many as were asked for.
        source: Token ids of the text from which an encoder-decoder is to make them; empty for other models.
        medium: The sound or image from which a model is to make them.
        num_given: How many tokens come first that the model is given and does not predict, of an image and what stands
            around it; one of them is where the image goes.
    """

    id: str
    document: str
    text_sha256: str
    tokens: tuple[int, ...]
    source: tuple[int, ...] = field(default=(), metadata=LATER)
    medium: Medium | None = field(default=None, metadata=LATER)
    num_given: int = field(default=0, metadata=LATER)

    def num_states(self, stack: Stack | None) -> int | None:
        """Tokens that pass the blocks of a stack; None where that depends on what the model makes of a medium."""
        if self.medium and not (self.medium.kind == "sound" and stack == "decoder"):
            return None
        return len(self.source if stack == "encoder" else self.tokens)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows with one use, and the digest of the documents they come from."""

    corpus_sha256: str
    windows: tuple[Window, ...]


def documents_digest(documents: Sequence[Document]) -> str:
    """Digest over the documents' ids and texts, in their order."""
    return digest_value([[document.id, document.sha256] for document in documents])


def distinct(documents: Iterable[Document]) -> tuple[Document, ...]:
    """The documents that have text, and what it is made from if they are pairs, each once, in their order."""
    texts: dict[str, Document] = {}
    for document in documents:
        if document.text.strip() and (document.source is None or document.source.strip()):
            texts.setdefault(document.sha256, document)
    return tuple(texts.values())


def checked_text(value: Any, where: str) -> str:
    """Text as a row or a file gives it; nothing counts as empty text.

    Raises:
        CorpusError: Not text, or text that no UTF-8 file of text holds.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusError(f"{where} is no text but {type(value).__name__}", "Name the column that holds text")
    if "\0" in value:
        raise CorpusError(f"{where} holds a NUL character, so it is no text", "Give UTF-8 text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise CorpusError(f"{where} holds half a surrogate pair, so it is no text", "Give UTF-8 text") from None
    return value
