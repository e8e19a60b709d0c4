"""A checkpoint's licence, as the card beside it or its GGUF file names it: carried on to its variants.

What is read there is not trusted: only an identifier, such as `apache-2.0`, is taken over.
"""

import re
from pathlib import Path

from lorp.plain_yaml import plain_yaml

CARD = "README.md"

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
_FRONT = re.compile(r"\A---\r?\n(?P<front>.*?)\r?\n---\s*$", re.DOTALL | re.MULTILINE)
_MOST_BYTES = 1 << 16


def licence_of_card(card: Path) -> str | None:
    """The identifier in the front matter of a model card; None where there is no card, or it names none."""
    try:
        if not card.is_file():  # what is a pipe would be waited for
            return None
        with card.open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return None
    match = _FRONT.search(text)
    if not match:
        return None
    try:
        front = plain_yaml(match["front"])
    except ValueError:
        return None
    named = front if isinstance(front, dict) else {}
    licence = identifier(named.get("license"))
    return identifier(named.get("license_name")) or licence if licence == "other" else licence


def identifier(named: object) -> str | None:
    """What is named, if it can be a licence's identifier; lower case."""
    return named.lower() if isinstance(named, str) and _IDENTIFIER.fullmatch(named) else None
