"""Several corpora: the mixture to calibrate on, found by what the plans cost that come from each."""

from dataclasses import dataclass

from flows.prepared import Begun, Prepared
from flows.stages import Stages
from lorp.corpus.mixtures import Mixture, mixtures_of
from lorp.errors import CorpusError, CountError, SimilarityError
from lorp.search.mixtures import MixtureComparison
from lorp.values import decode
from tasks.mixtures import CompareMixtures, TriedMixture
from tasks.vault import Reference


def prepare(stages: Stages) -> tuple[Prepared, Reference | None]:
    """Everything up to the clusters, on the best mixture; and how mixtures compare, if that was asked.

    Raises:
        InputError: What is asked cannot be done with this checkpoint, or with all text together.
    """
    begun = stages.begin()
    together, *alone = mixtures_of(stages.spec.calibration)
    prepared = stages.prepare(begun, together)
    if not alone:
        return prepared, None
    comparing = _Comparing(stages=stages, begun=begun, count=stages.first_count(prepared))
    attempts = {together: comparing.tried(prepared)} | {mixture: comparing.attempted(mixture) for mixture in alone}
    dense = comparing.losses(begun.checkpoint, prepared, "dense")
    tried = tuple(attempt for attempt, _ in attempts.values())
    compared = stages.run(CompareMixtures(dense=dense, tried=tried, count=comparing.count))["mixtures"]
    _, best = attempts[decode(MixtureComparison, stages.vault.read(compared)).chosen]
    return best or prepared, compared


_Attempt = tuple[TriedMixture, Prepared | None]


@dataclass(frozen=True, kw_only=True)
class _Comparing:
    """Tries mixtures.

    Attributes:
        stages: Runs stages.
        begun: What all of them start from.
        count: Blocks to remove: as many as are asked for, or the first guess at how deep to cut.
    """

    stages: Stages
    begun: Begun
    count: int

    def attempted(self, mixture: Mixture) -> _Attempt:
        """A mixture, unless its text is too little for it."""
        try:
            return self.tried(self.stages.prepare(self.begun, mixture))
        except (CorpusError, SimilarityError) as refusal:
            return TriedMixture(mixture=mixture, refused=refusal.reason), None

    def tried(self, prepared: Prepared) -> _Attempt:
        """Its plan, healed and cut, on held-out windows; or why it has none."""
        mixture, similarity = prepared.mixture, prepared.similarity
        try:
            candidate = self.stages.candidate(prepared, self.count)
        except CountError as refusal:
            return TriedMixture(mixture=mixture, similarity=similarity, refused=refusal.reason), prepared
        losses = self.losses(candidate.variant, prepared, f"{self.count} removed")
        return TriedMixture(mixture=mixture, similarity=similarity, candidate=candidate, losses=losses), prepared

    def losses(self, checkpoint: Reference, prepared: Prepared, label: str) -> Reference:
        """On the held-out windows."""
        return self.stages.look(checkpoint, prepared, "mixture", 0, self.stages.spec.search.num_mixture_windows, label)
