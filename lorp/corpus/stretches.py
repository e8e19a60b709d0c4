"""A text that says nothing of documents -> stretches that count as documents."""

import re
from collections.abc import Iterator

from lorp.corpus.documents import Document

_STRETCH_CHARACTERS = 8_000
_CHARACTERS_A_TOKEN = 8
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def stretches(label: str, text: str, window_tokens: int) -> Iterator[Document]:
    """Cuts a text at blank lines, and between lines where there are none for long.

    Args:
        label: What ids begin with.
        text: The text.
        window_tokens: The longest window that will be cut: each stretch but the last has at least 8,000 characters,
            and at least 8 for each of these tokens, so that a window fits.
    """
    at_least = max(_STRETCH_CHARACTERS, _CHARACTERS_A_TOKEN * window_tokens)
    number, gathered, size = 1, [], 0
    for piece in _pieces(text, at_least):
        gathered.append(piece)
        size += len(piece)
        if size >= at_least:
            yield Document(id=f"{label}/{number}", text="".join(gathered))
            number, gathered, size = number + 1, [], 0
    yield Document(id=f"{label}/{number}", text="".join(gathered))


def _pieces(text: str, at_most: int) -> Iterator[str]:
    """The text's paragraphs, and the lines of those that are longer than `at_most` characters."""
    for paragraph in _BLANK_LINE.split(text):
        if len(paragraph) <= at_most:
            yield paragraph + "\n\n"
        else:
            yield from paragraph.splitlines(keepends=True)
            yield "\n\n"
