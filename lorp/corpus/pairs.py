"""Documents that are pairs of a source and a text -> windows, one of each pair."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lorp.corpus.documents import Document, Window, Windows, documents_digest
from lorp.corpus.media import PairKind
from lorp.corpus.windows import Tokenize, in_turn
from lorp.errors import CorpusError

_READERS: Mapping[PairKind | None, str] = {
    "text": "an encoder-decoder makes it from a source",
    "sound": "the model makes it from a sound",
    "image": "the model makes it from an image",
}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What stands before a text that is made from a sound or an image.

    Attributes:
        start: The token that begins every text by itself.
        image: Those around an image and the one that stands for it, which come after that token.
        said: Whether `start` is what a decoder starts from, and is no part of the text.
    """

    start: int | None = None
    image: tuple[int, ...] = ()
    said: bool = False

    def around(self, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the model is given before a text, and what it has to predict."""
        begun = tokens[:1] == (self.start,)
        first, text = (tokens[:1], tokens[1:]) if begun else ((), tokens)
        return (() if self.said else (*first, *self.image)), text


def pair_windows(
    corpora: Sequence[Sequence[Document]],
    tokenize: Tokenize,
    num_windows: int,
    window_tokens: int,
    seed: int,
    at_least: int | None = None,
    frame: Frame = Frame(),
) -> Windows:
    """Chooses pairs, each of which is a window and a document of its own; texts of one sound or image are one document.

    Pairs are taken in a seeded order, one from each corpus in turn. A source or a text that is longer than a window is
    cut off at its end; sounds and images are taken as they are.

    Args:
        corpora: The pairs of each.
        tokenize: Token ids of a text, with the special tokens that the model was trained to see and to write.
        num_windows: Windows to choose.
        window_tokens: Most tokens of a source, and of a text.
        seed: Chooses pairs.
        at_least: With how many windows to make do where there are no more pairs; all of them unless given.
        frame: What stands before the text of a sound or an image.

    Raises:
        CorpusError: There are fewer pairs, or a text holds a token that stands for an image or around one.
    """
    piles = [
        list(islice(_drawn(documents, tokenize, window_tokens, seed, frame), num_windows)) for documents in corpora
    ]
    windows = in_turn(piles)
    needed = num_windows if at_least is None else at_least
    if len(windows) < needed:
        raise CorpusError(
            f"there are {len(windows)} pairs, and {needed} are asked for", "Give more pairs, or ask for fewer windows"
        )
    documents = [document for each in corpora for document in each]
    return Windows(corpus_sha256=documents_digest(documents), windows=tuple(windows[:num_windows]))


def check_pairs(documents: Sequence[Document], wanted: PairKind | None) -> None:
    """Refuses text by itself where pairs are needed, and pairs that the model cannot read.

    Args:
        documents: What windows will come from.
        wanted: From what the model makes a text; None if it takes text by itself.

    Raises:
        CorpusError: With the first document that is something else.
    """
    for document in documents:
        found: PairKind | None = document.medium.kind if document.medium else "text" if document.is_pair else None
        if found == wanted:
            continue
        if found is None:
            raise CorpusError(f"{document.id} is text by itself, and {_READERS[wanted]}", "Give pairs with --pairs")
        if wanted is None:
            raise CorpusError(f"{document.id} is a pair, and text by itself is wanted", "Give no pairs, or pairs alone")
        raise CorpusError(
            f"{document.id} is a pair of another kind ({found}): {_READERS[wanted]}",
            "Write --pairs ROWS#SOURCE:TARGET, with ,sound or ,image after it for those",
        )


def _drawn(
    documents: Sequence[Document], tokenize: Tokenize, window_tokens: int, seed: int, frame: Frame
) -> Iterator[Window]:
    first: dict[str, str] = {}
    for document in documents:
        first.setdefault(document.medium.sha256 if document.medium else document.id, document.id)
    for document in random.Random(seed).sample(documents, len(documents)):
        of = first[document.medium.sha256 if document.medium else document.id]
        window = Window(id=f"{document.id}@0", document=of, text_sha256=document.sha256, tokens=())
        tokens, source = (tuple(tokenize(text)[:window_tokens]) for text in (document.text, document.source or ""))
        if document.medium:
            given, text = frame.around(tokens)
            if not {*text}.isdisjoint(frame.image):
                raise CorpusError(f"the text of {document.id} holds a token that stands for an image", "Leave it out")
            if text:
                yield replace(window, tokens=(*given, *text), medium=document.medium, num_given=len(given))
        elif tokens and source:
            yield replace(window, tokens=tokens, source=source)
