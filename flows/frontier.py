"""`--remove auto`: candidates of one count after another, until it is known how deep the budgets let one cut."""

from dataclasses import dataclass, field
from functools import cached_property

from flows.prepared import Prepared
from flows.stages import Stages
from lorp.checkpoint import open_checkpoint
from lorp.corpus.uses import FrontierWindows
from lorp.errors import CountError
from lorp.search.frontier import FIRST_LOOK, NEXT_LOOK, explore
from lorp.values import decode
from tasks.frontier import Candidate, DrawFrontier, LookedAt, stand
from tasks.vault import Reference


@dataclass(kw_only=True)
class FrontierSearch:
    """Finds the deepest candidate within the budgets.

    Attributes:
        stages: Runs stages.
        prepared: What they start from.
        questions: Of the tasks, if there are any.
        looked_at: By count.
    """

    stages: Stages
    prepared: Prepared
    questions: Reference | None
    looked_at: dict[int, LookedAt] = field(default_factory=dict)

    def deepest(self) -> tuple[Candidate, Reference]:
        """The candidate, and the frontier; the shallowest candidate that was looked at where none keeps the budgets."""
        found = explore(self._inside, self.stages.first_count(self.prepared), self.prepared.most)
        chosen = min(self.looked_at) if found is None else found
        spec = self.stages.spec
        drawn = self.stages.run(
            DrawFrontier(
                dense=self._dense(),
                looked_at=tuple(self.looked_at[count] for count in sorted(self.looked_at)),
                chosen=chosen,
                num_planned=self._num_planned,
                gate_windows=spec.evaluation.num_windows,
                gate=spec.gate,
            )
        )
        return self.looked_at[chosen].candidate, drawn["frontier"]

    def _inside(self, count: int) -> bool:
        spec = self.stages.spec
        try:
            candidate = self.stages.candidate(self.prepared, count)
        except CountError:  # these clusters do not hold so many blocks that may go
            return False
        dense, planned = self._dense(), self._num_planned
        looks: list[Reference] = []
        side, num_seen = "open", 0
        while side == "open" and num_seen < planned:
            size = min(NEXT_LOOK if looks else FIRST_LOOK, planned - num_seen)
            looks.append(self._look(candidate.variant, num_seen, size, f"{count} removed"))
            num_seen += size
            standing = stand(self.stages.vault, dense, looks, spec.gate, planned, spec.evaluation.num_windows)
            side = standing.side if standing else "outside"
        self.looked_at[count] = self._measured(candidate, looks)
        return side == "inside"

    def _dense(self) -> Reference:
        return self._look(self.prepared.checkpoint, 0, self._num_planned, "dense")

    @cached_property
    def _num_planned(self) -> int:
        """Windows of the frontier: as many as are asked for, or as the text gives."""
        windows = self.stages.vault.read(self.prepared.windows["frontier"])
        return len(decode(FrontierWindows, windows).windows)

    def _look(self, checkpoint: Reference, first: int, size: int, model: str) -> Reference:
        label = f"{model}, windows {first} to {first + size - 1}"
        return self.stages.look(checkpoint, self.prepared, "frontier", first, size, label)

    def _measured(self, candidate: Candidate, looks: list[Reference]) -> LookedAt:
        variant = candidate.variant
        speed = self.stages.speed(self.prepared, variant)
        return LookedAt(
            candidate=candidate,
            looks=tuple(looks),
            tasks=self.stages.answers(variant, self.questions, "pruned"),
            speed=speed,
            variant_bytes=open_checkpoint(self.stages.vault.folder(variant)).weight_bytes,
        )
