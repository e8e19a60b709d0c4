"""Texts and documents for tests of corpora."""

import random
import string
from collections.abc import Sequence
from pathlib import Path

from lorp.corpus import Document


def tokenize(text: str) -> list[int]:
    """A token a character."""
    return [ord(character) for character in text]


def documents(*lengths: int) -> list[Document]:
    """Documents of so many characters; no two characters at the same place of a document and its neighbour agree."""
    return [
        Document(id=f"document-{number}", text="".join(chr(256 + number * 10_000 + place) for place in range(length)))
        for number, length in enumerate(lengths)
    ]


def words(count: int, seed: int = 0) -> str:
    """So many words of 2 to 9 random letters, on one line."""
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(count))


def paragraphs(count: int, seed: int = 0) -> str:
    """Paragraphs of 500 random letters, two of which are never alike."""
    rng = random.Random(seed)
    return "\n\n".join("".join(rng.choices(string.ascii_lowercase, k=500)) for _ in range(count))


def text_file(folder: Path, text: str, name: str = "text.txt") -> str:
    """Writes a file; its path."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def texts(parts: Sequence[Document]) -> list[str]:
    """The documents' texts."""
    return [document.text for document in parts]
