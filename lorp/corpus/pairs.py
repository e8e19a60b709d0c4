"""Documents that are pairs of a source and a text -> windows, one of each pair."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from lorp.corpus.documents import Document, Window, Windows, documents_digest
from lorp.corpus.windows import Tokenize, in_turn
from lorp.errors import CorpusError


def pair_windows(
    corpora: Sequence[Sequence[Document]],
    tokenize: Tokenize,
    num_windows: int,
    window_tokens: int,
    seed: int,
    at_least: int | None = None,
) -> Windows:
    """Chooses pairs, each of which is a window and a document of its own.

    Pairs are taken in a seeded order, one from each corpus in turn. A source or a text that is longer than a window is
    cut off at its end.

    Args:
        corpora: The pairs of each.
        tokenize: Token ids of a text, with the special tokens that the model was trained to see and to write.
        num_windows: Windows to choose.
        window_tokens: Most tokens of a source, and of a text.
        seed: Chooses pairs.
        at_least: With how many windows to make do where there are no more pairs; all of them unless given.

    Raises:
        CorpusError: There are fewer pairs.
    """
    piles = [list(islice(_drawn(documents, tokenize, window_tokens, seed), num_windows)) for documents in corpora]
    windows = in_turn(piles)
    needed = num_windows if at_least is None else at_least
    if len(windows) < needed:
        raise CorpusError(
            f"there are {len(windows)} pairs, and {needed} are asked for", "Give more pairs, or ask for fewer windows"
        )
    documents = [document for each in corpora for document in each]
    return Windows(corpus_sha256=documents_digest(documents), windows=tuple(windows[:num_windows]))


def check_pairs(documents: Sequence[Document], pairs: bool) -> None:
    """Refuses text by itself where pairs are needed, and pairs where they are not.

    Raises:
        CorpusError: With the first document that is neither.
    """
    for document in documents:
        if pairs and document.source is None:
            raise CorpusError(
                f"{document.id} is text by itself, and an encoder-decoder makes it from a source",
                "Give pairs with --pairs",
            )
        if not pairs and document.source is not None:
            raise CorpusError(f"{document.id} is a pair, and the model makes no text from a source", "Give text alone")


def _drawn(documents: Sequence[Document], tokenize: Tokenize, window_tokens: int, seed: int) -> Iterator[Window]:
    for document in random.Random(seed).sample(documents, len(documents)):
        tokens, source = (tuple(tokenize(text)[:window_tokens]) for text in (document.text, document.source or ""))
        if tokens and source:
            yield Window(
                id=f"{document.id}@0",
                document=document.id,
                text_sha256=document.sha256,
                tokens=tokens,
                source=source,
            )
