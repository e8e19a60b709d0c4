"""Several corpora: which of them a run may calibrate on, and which text came from which.

A corpus is known by its number in the order in which corpora are named, from 1; where there are several, the ids of
documents begin with it.
"""

from collections.abc import Sequence

from lorp.corpus.documents import Document
from lorp.spec import CalibrationSpec

Mixture = tuple[int, ...]


def mixtures_of(spec: CalibrationSpec) -> tuple[Mixture, ...]:
    """All corpora together; and where the best mixture is asked for, each of them alone too."""
    together = tuple(range(1, len(spec.corpora) + 1))
    if spec.mixture == "all" or len(together) == 1:
        return (together,)
    return (together, *((number,) for number in together))


def of_mixture(documents: Sequence[Document], mixture: Mixture, num_corpora: int) -> list[list[Document]]:
    """A mixture's documents, corpus by corpus.

    Args:
        documents: Of all corpora.
        mixture: The wanted ones.
        num_corpora: How many corpora there are in all.
    """
    if num_corpora == 1:
        return [list(documents)]
    return [[document for document in documents if corpus_of(document.id) == number] for number in mixture]


def told(mixture: Mixture) -> str:
    """`corpus 2`, or `corpora 1, 3`."""
    return f"{'corpus' if len(mixture) == 1 else 'corpora'} {', '.join(map(str, mixture))}"


def names_of(spec: CalibrationSpec, mixture: Mixture) -> tuple[str, ...]:
    """Addresses of a mixture's corpora."""
    return tuple(spec.corpora[number - 1] for number in mixture)


def corpus_of(document: str) -> int:
    """The number of a document's corpus, where there are several."""
    return int(document.partition(":")[0])


def positions_by_corpus(documents: Sequence[str]) -> dict[int, list[int]]:
    """Where, among windows of these documents, those of each corpus are; where there are several."""
    positions: dict[int, list[int]] = {}
    for position, document in enumerate(documents):
        positions.setdefault(corpus_of(document), []).append(position)
    return dict(sorted(positions.items()))
