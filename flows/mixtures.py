"""Several corpora: the mixture to calibrate on, found by what the plans cost that come from each."""

from dataclasses import dataclass

from flows.stages import Begun, Prepared, Stages
from lorp.corpus.mixtures import mixtures_of
from lorp.errors import CountError
from lorp.search.mixtures import MixtureComparison
from lorp.values import decode
from tasks.mixtures import CompareMixtures, TriedMixture
from tasks.vault import Reference


def prepare(stages: Stages) -> tuple[Prepared, Reference | None]:
    """Everything up to the clusters, on the best mixture; and how mixtures compare, if that was asked.

    Raises:
        InputError: What is asked cannot be done with this checkpoint, or this text.
    """
    begun = stages.begin()
    mixtures = mixtures_of(stages.spec.calibration)
    prepared = [stages.prepare(begun, mixture) for mixture in mixtures]
    if len(mixtures) == 1:
        return prepared[0], None
    compared = _Comparing(stages=stages, begun=begun, prepared=prepared).compared()
    chosen = decode(MixtureComparison, stages.vault.read(compared)).chosen
    return prepared[mixtures.index(chosen)], compared


@dataclass(frozen=True, kw_only=True)
class _Comparing:
    """Tries mixtures.

    Attributes:
        stages: Runs stages.
        begun: What all of them start from.
        prepared: A mixture each, all corpora together first.
    """

    stages: Stages
    begun: Begun
    prepared: list[Prepared]

    def compared(self) -> Reference:
        """The comparison, at the count that is asked for, or at the first guess at how deep to cut."""
        together = self.prepared[0]
        count = self.stages.first_count(together)
        tried = tuple(self._tried(prepared, count) for prepared in self.prepared)
        dense = self._losses(self.begun.checkpoint, together, "dense")
        return self.stages.run(CompareMixtures(dense=dense, tried=tried, count=count))["mixtures"]

    def _tried(self, prepared: Prepared, count: int) -> TriedMixture:
        mixture, similarity = prepared.mixture, prepared.similarity
        try:
            candidate = self.stages.candidate(prepared, count)
        except CountError as refusal:
            return TriedMixture(mixture=mixture, similarity=similarity, refused=refusal.reason)
        losses = self._losses(candidate.variant, prepared, f"calibrated on {_numbered(mixture)}")
        return TriedMixture(mixture=mixture, similarity=similarity, candidate=candidate, losses=losses)

    def _losses(self, checkpoint: Reference, prepared: Prepared, label: str) -> Reference:
        return self.stages.look(checkpoint, prepared, "mixture", 0, self.stages.spec.search.num_mixture_windows, label)


def _numbered(mixture: tuple[int, ...]) -> str:
    return f"{'corpus' if len(mixture) == 1 else 'corpora'} {', '.join(map(str, mixture))}"
