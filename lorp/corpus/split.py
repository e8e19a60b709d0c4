"""The corpora of both uses -> the documents of each: disjoint, and no text of one in the other."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

from lorp.corpus.documents import Document, distinct
from lorp.corpus.local import read_local
from lorp.corpus.mixtures import corpus_of
from lorp.errors import CorpusError
from lorp.spec import CalibrationSpec, EvaluationSpec

Read = Callable[[str, int], tuple[Document, ...]]
Parts = tuple[tuple[Document, ...], tuple[Document, ...]]


def calibration_and_evaluation(
    calibration: CalibrationSpec, evaluation: EvaluationSpec, read: Read = read_local
) -> Parts:
    """The documents of both uses.

    The same corpora for both are split by whole documents, each by itself, and evaluation documents that share text
    with calibration documents are left out. Other corpora are used whole, and refused if they share text. Text that
    several corpora of one use have belongs to the first of them. What counts as shared is said in
    `lorp.corpus.overlap`; documents too short to give a window are not compared.

    Args:
        calibration: Its corpora, windows, and the seed of the split.
        evaluation: Its corpora and windows.
        read: The documents of one corpus, by its address and the longest window's tokens.

    Raises:
        CorpusError: Text is missing or empty, cannot be split, or is shared.
    """
    longest = max(calibration.window_tokens, evaluation.window_tokens)
    if is_split(calibration, evaluation):
        corpora = _read_each(calibration.corpora, read, longest)
        parts = [_split(documents, name, calibration) for name, documents in corpora.items()]
        ours, theirs = (tuple(chain.from_iterable(part)) for part in zip(*parts, strict=True))
        shared = {document.id for document, _ in _overlapping(ours, theirs, calibration, evaluation)}
        return ours, tuple(document for document in theirs if document.id not in shared)
    ours, theirs = (
        tuple(chain.from_iterable(_read_each(spec.corpora, read, longest).values()))
        for spec in (calibration, evaluation)
    )
    for document, share in _overlapping(ours, theirs, calibration, evaluation):
        raise CorpusError(
            f"calibration and evaluation share text: {share:.0%} of evaluation document {document.id}",
            "Name the same corpora for both, and they are split for you",
        )
    return ours, theirs


def is_split(calibration: CalibrationSpec, evaluation: EvaluationSpec) -> bool:
    """Whether both uses name the same corpora.

    Raises:
        CorpusError: They name some of the same, but not all.
    """
    ours, theirs = set(calibration.corpora), set(evaluation.corpora)
    if ours != theirs and ours & theirs:
        raise CorpusError(
            f"calibration and evaluation share {sorted(ours & theirs)[0]}, but not all their corpora",
            "Name the same corpora for both, and they are split for you, or none of the same",
        )
    return ours == theirs


def split_documents(documents: Sequence[Document], seed: int) -> Parts:
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
        sizes[smaller] += len(document.whole)
    return tuple(parts[0]), tuple(parts[1])


def _split(documents: Sequence[Document], name: str, calibration: CalibrationSpec) -> Parts:
    """One corpus in two parts."""
    if len(documents) == 1 and len(calibration.corpora) > 1:
        raise CorpusError(
            f"{name} is one document, which cannot be split into calibration and evaluation",
            "Give more text of it, or other text with --evaluation",
        )
    return split_documents(documents, calibration.seed)


def _read_each(corpora: Sequence[str], read: Read, window_tokens: int) -> dict[str, list[Document]]:
    """The documents of corpora, each text once; where there are several, ids begin with the corpus's number."""
    if len(corpora) == 1:
        return {corpora[0]: list(read(corpora[0], window_tokens))}
    numbered = distinct(
        replace(document, id=f"{number}:{document.id}")
        for number, address in enumerate(corpora, start=1)
        for document in read(address, window_tokens)
    )
    each: dict[str, list[Document]] = {address: [] for address in corpora}
    for document in numbered:
        each[corpora[corpus_of(document.id) - 1]].append(document)
    for address, documents in each.items():
        if not documents:
            raise CorpusError(f"all text of {address} is in the corpora named before it", "Name it once")
    return each


def _overlapping(
    ours: Sequence[Document], theirs: Sequence[Document], calibration: CalibrationSpec, evaluation: EvaluationSpec
) -> list[tuple[Document, float]]:
    from lorp.corpus.overlap import overlapping

    known = {document.medium.sha256 for document in ours if document.medium}
    again = [document for document in theirs if document.medium and document.medium.sha256 in known]
    found = {document.id for document in again}
    others = [document for document in theirs if document.id not in found]
    return [(document, 1.0) for document in again] + overlapping(
        _usable(ours, calibration), _usable(others, evaluation)
    )


def _usable(documents: Sequence[Document], spec: CalibrationSpec | EvaluationSpec) -> list[Document]:
    """The documents of which windows may come: any pair; of others, a token stands for a byte or more."""
    at_least = spec.window_tokens if spec.packing == "long" else 1
    return [each for each in documents if each.is_pair or len(each.text.encode()) >= at_least]
