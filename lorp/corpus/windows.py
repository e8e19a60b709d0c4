"""Documents -> token windows, drawn fairly and repeatably; no special tokens but those between packed documents."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lorp.corpus.documents import Document, Window, Windows, documents_digest
from lorp.digest import digest_value
from lorp.errors import CorpusError
from lorp.spec import Packing

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True, kw_only=True)
class _Passage:
    """The tokens of one document, or of a few packed together, from which windows are cut."""

    id: str
    text_sha256: str
    tokens: list[int]


def cut_windows(
    corpora: Sequence[Sequence[Document]],
    tokenize: Tokenize,
    num_windows: int,
    window_tokens: int,
    seed: int,
    packing: Packing = "long",
    end_of_text: int | None = None,
    at_least: int | None = None,
) -> Windows:
    """Chooses windows that do not overlap, from as many documents as possible.

    Documents are taken in a seeded order, and no more of a corpus are tokenized than the windows could take. `long`
    cuts each window from one document that is long enough. `packed` joins documents in that order, with `end_of_text`
    between two: as soon as the joined tokens fill a window they are closed into a passage, and the next document begins
    a new one. So a document's tokens lie in one passage only, and passages stand for documents: windows of different
    `document` share no text, as whatever is clustered by document assumes. What is left over at a passage's end, on
    average half a document, is not used.

    One window is taken from each corpus in turn, and of a corpus from each document or passage in turn, until the
    number is met; one that has no more is passed over. So the first windows are the same however many are asked for.

    Args:
        corpora: The documents of each.
        tokenize: Token ids of a text, without special tokens.
        num_windows: Windows to cut.
        window_tokens: Tokens a window.
        seed: Chooses documents, and windows within one.
        packing: Where windows come from.
        end_of_text: The tokenizer's end-of-text token; none where it has none.
        at_least: With how many windows to make do where the text gives no more; all of them unless given.

    Raises:
        CorpusError: The text gives fewer windows; says how many.
    """
    of_corpora = [
        _drawn(documents, tokenize, num_windows, window_tokens, seed, packing, end_of_text) for documents in corpora
    ]
    windows = in_turn(of_corpora)
    needed = num_windows if at_least is None else at_least
    if len(windows) < needed:
        raise _too_little(len(windows), needed, window_tokens, packing)
    documents = [document for documents in corpora for document in documents]
    return Windows(corpus_sha256=documents_digest(documents), windows=tuple(windows[:num_windows]))


def _drawn(
    documents: Sequence[Document],
    tokenize: Tokenize,
    num_windows: int,
    window_tokens: int,
    seed: int,
    packing: Packing,
    end_of_text: int | None,
) -> list[Window]:
    """Windows of one corpus: as many as are wanted and more, or all there are."""
    shuffled = random.Random(seed).sample(documents, len(documents))
    if packing == "packed":
        passages = _packed(shuffled, tokenize, window_tokens, end_of_text)
    else:
        passages = (_passage([document], tokenize(document.text)) for document in shuffled)
    piles: list[list[Window]] = []
    for passage in passages:
        windows = _cut(passage, window_tokens)
        if windows:
            piles.append(random.Random(f"{seed}/{passage.id}").sample(windows, len(windows)))
        if len(piles) == num_windows:
            break
    return in_turn(piles)


def in_turn(piles: Sequence[Sequence[Window]]) -> list[Window]:
    """The first of each pile, then the second, and so on."""
    deepest = max(map(len, piles), default=0)
    return [pile[turn] for turn in range(deepest) for pile in piles if turn < len(pile)]


def _packed(
    documents: Sequence[Document], tokenize: Tokenize, window_tokens: int, end_of_text: int | None
) -> Iterator[_Passage]:
    """Passages of as few whole documents as fill a window."""
    together: list[Document] = []
    tokens: list[int] = []
    for document in documents:
        if together and end_of_text is not None:
            tokens.append(end_of_text)
        together.append(document)
        tokens.extend(tokenize(document.text))
        if len(tokens) >= window_tokens:
            yield _passage(together, tokens)
            together, tokens = [], []


def _passage(documents: Sequence[Document], tokens: list[int]) -> _Passage:
    first, more = documents[0], len(documents) - 1
    if not more:
        return _Passage(id=first.id, text_sha256=first.sha256, tokens=tokens)
    texts = digest_value([document.sha256 for document in documents])
    return _Passage(id=f"{first.id}+{more}", text_sha256=texts, tokens=tokens)


def _cut(passage: _Passage, window_tokens: int) -> list[Window]:
    return [
        Window(
            id=f"{passage.id}@{start}",
            document=passage.id,
            text_sha256=passage.text_sha256,
            tokens=tuple(passage.tokens[start : start + window_tokens]),
        )
        for start in range(0, len(passage.tokens) - window_tokens + 1, window_tokens)
    ]


def _too_little(available: int, num_windows: int, window_tokens: int, packing: Packing) -> CorpusError:
    shorter = "" if packing == "packed" else ", or pack short documents with --windows packed"
    return CorpusError(
        f"too little text: it gives {available} windows of {window_tokens} tokens, and {num_windows} are asked for",
        f"Give more text, or ask for fewer or shorter windows{shorter}",
    )
