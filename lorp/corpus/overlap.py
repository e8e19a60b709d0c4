"""Documents -> which of them share text with others, whatever the line breaks, spaces, case and punctuation.

A document is reduced to its letters and digits. Its shingles are all runs of 50 of those, hashed to 64 bits. Of more
than 8 million characters of text one shingle in eight is kept, chosen by its hash, so that two documents keep the same
ones; a passage of 50 letters is then found only if its shingle is one of those, one of 100 nearly always. The hash of
the whole is kept beside them, so that short documents that are equal are found too. Documents of fewer than 50 letters
are not compared.

Time grows with the text, and with n log n for sorting what is kept: 8 million characters whose shingles are all kept
take about as long as 20 million that are sampled, some seconds.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lorp.corpus.documents import Document

SHINGLE_LETTERS = 50
#: Evaluation documents may share this much of their text with calibration, passages in `BOILERPLATE_DOCUMENTS` and more
#: documents not counted: a licence's header, a site's footer.
MAX_SHARE = 0.2
BOILERPLATE_DOCUMENTS = 5
#: With such passages counted: beyond it, a document is a copy.
MAX_COPIED_SHARE = 0.8

_SAMPLED_CHARACTERS = 1 << 23
_ONE_IN = 8
_NO_LETTERS = re.compile(r"[\W_]+")
_BASE = 0x9E3779B97F4A7C15
_WORD = 1 << 64

Hashes = NDArray[np.uint64]


def overlapping(calibration: Sequence[Document], evaluation: Sequence[Document]) -> list[tuple[Document, float]]:
    """Evaluation documents that share text with calibration, with the share of their shingles that is found there.

    A document is one if that share is over 0.2, shingles that five documents or more hold not counted as found; or over
    0.8 with those.
    """
    characters = sum(len(document.whole) for document in (*calibration, *evaluation))
    one_in = _ONE_IN if characters > _SAMPLED_CHARACTERS else 1
    theirs = [_sketch(document.whole, one_in) for document in evaluation]
    ours = [_sketch(document.whole, one_in) for document in calibration]
    known, rare = _known(ours), _rare([*ours, *theirs])
    found = []
    for document, sketch in zip(evaluation, theirs, strict=True):
        shared = sketch[_isin(sketch, known)]
        share = len(shared) / max(len(sketch), 1)
        if share > MAX_COPIED_SHARE or _isin(shared, rare).sum() > MAX_SHARE * len(sketch):
            found.append((document, share))
    return found


def _known(sketches: Sequence[Hashes]) -> Hashes:
    return np.unique(_joined(sketches))


def _rare(sketches: Sequence[Hashes]) -> Hashes:
    hashes, counts = np.unique(_joined(sketches), return_counts=True)
    return hashes[counts < BOILERPLATE_DOCUMENTS]


def _joined(sketches: Sequence[Hashes]) -> Hashes:
    return np.concatenate([np.empty(0, np.uint64), *sketches])


def _isin(hashes: Hashes, known: Hashes) -> NDArray[np.bool_]:
    """Which hashes are among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.asarray(known[places] == hashes)


def _sketch(text: str, one_in: int) -> Hashes:
    """The shingles of a text that are kept, sorted, each once."""
    letters = _NO_LETTERS.sub("", text.casefold()).encode("utf-32-le", "surrogatepass")
    codes = _mixed(np.frombuffer(letters, np.uint32).astype(np.uint64))
    if len(codes) < SHINGLE_LETTERS:
        return np.empty(0, np.uint64)
    shingles = _mixed(_run_hashes(codes, SHINGLE_LETTERS))
    whole = _mixed(_run_hashes(codes, len(codes)))
    return np.unique(np.concatenate([shingles[shingles % np.uint64(one_in) == 0], whole]))


def _run_hashes(codes: Hashes, length: int) -> Hashes:
    """The polynomial hash modulo 2**64 of every run of `length` codes.

    Runs of a power of two are made of two of half their length, and others are joined from those: log2(length) steps.
    """
    num_runs = len(codes) - length + 1
    hashes, size, done = np.zeros(num_runs, np.uint64), 1, 0
    while True:
        if length & size:
            hashes = hashes * _power(size) + codes[done : done + num_runs]
            done += size
        if done == length:
            return hashes
        codes = codes[:-size] * _power(size) + codes[size:]
        size *= 2


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_BASE, exponent, _WORD))


def _mixed(values: Hashes) -> Hashes:
    """A bijection of 64-bit words whose output looks random (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
