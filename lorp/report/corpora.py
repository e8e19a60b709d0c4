"""Several corpora -> the rows that the page shows of them: locality and stability by corpus, and mixtures compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorp.corpus.mixtures import names_of
from lorp.report.axes import block_runs
from lorp.report.text import number, percent
from lorp.search.mixtures import MixtureComparison, MixtureTrial
from lorp.similarity import Similarity
from lorp.spec import CalibrationSpec
from lorp.stability import CorpusStability, Stability


@dataclass(frozen=True, kw_only=True)
class CorpusRow:
    """One corpus, as text."""

    name: str
    locality: str
    num_windows: int
    num_documents: int
    num_resampled: int
    shares: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MixtureRow:
    """One mixture, as text."""

    name: str
    chosen: bool
    locality: str
    blocks: str
    healing: str
    ratio: str


@dataclass(frozen=True, kw_only=True)
class CorporaSection:
    """What is shown of corpora; either kind of row may be missing."""

    rows: tuple[CorpusRow, ...]
    mixtures: tuple[MixtureRow, ...]
    num_windows: int


def corpora_section(
    spec: CalibrationSpec,
    similarity: Similarity,
    stability: Stability | None,
    mixtures: MixtureComparison | None,
    removed: Sequence[int],
) -> CorporaSection | None:
    """A row a corpus and a row a mixture; None where there is one corpus.

    Args:
        spec: Names the corpora.
        similarity: On them.
        stability: Of the plan, where it is known.
        mixtures: How mixtures compare, if that was asked.
        removed: The plan.
    """
    if not similarity.corpora and mixtures is None:
        return None
    of_corpus = {entry.corpus: entry for entry in stability.corpora} if stability else {}
    return CorporaSection(
        rows=tuple(
            CorpusRow(
                name=spec.corpora[entry.corpus - 1],
                locality=_interval(entry.rls, entry.rls_low, entry.rls_high),
                num_windows=entry.num_windows,
                num_documents=entry.num_documents,
                num_resampled=of_corpus[entry.corpus].num_windows if entry.corpus in of_corpus else 0,
                shares=_shares(of_corpus.get(entry.corpus), removed),
            )
            for entry in similarity.corpora
        ),
        mixtures=tuple(_mixture(spec, trial, mixtures) for trial in mixtures.trials) if mixtures else (),
        num_windows=mixtures.num_windows if mixtures else 0,
    )


def _shares(stability: CorpusStability | None, removed: Sequence[int]) -> tuple[str, ...]:
    """Of the removed blocks; a dash where no resample came to a plan."""
    found = stability is not None and stability.num_resamples > 0
    return tuple(percent(stability.shares[block]) if stability and found else "–" for block in removed)


def _mixture(spec: CalibrationSpec, trial: MixtureTrial, mixtures: MixtureComparison) -> MixtureRow:
    return MixtureRow(
        name=" + ".join(names_of(spec, trial.mixture)),
        chosen=trial.mixture == mixtures.chosen,
        locality=_interval(trial.rls, trial.rls_low, trial.rls_high),
        blocks=block_runs(trial.removed) if trial.removed else f"none: {trial.refused}",
        healing=trial.healing,
        ratio=_ratio(trial),
    )


def _ratio(trial: MixtureTrial) -> str:
    if trial.ratio is None:
        return "not finite" if trial.removed else "–"
    bounds = trial.lower, trial.upper
    return number(trial.ratio) if None in bounds else _interval(trial.ratio, *bounds)


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    return "–" if value is None else f"{number(value)} ({number(low)} to {number(high)})"
