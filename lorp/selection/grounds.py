"""What a selector may go by, and what selectors share."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lorp.clustering import Clustering
from lorp.errors import SpecError
from lorp.plan import PruningPlan
from lorp.search.trials import Trials
from lorp.similarity import Matrix
from lorp.spec import PruningSpec


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What a selector may go by.

    Attributes:
        similarity: N x N, of block inputs.
        clustering: Of the blocks.
        trials: What plans cost on windows; None where there is no model to ask.
        confirming: The same on other windows.
        mended: Whether plans will be healed, and are compared as mended.
        max_swaps: Plans that a local search tries at most.
        seed: Of whatever is drawn.
    """

    similarity: Matrix
    clustering: Clustering
    trials: Trials | None = None
    confirming: Trials | None = None
    mended: bool = False
    max_swaps: int = 0
    seed: int = 0

    @property
    def num_blocks(self) -> int:
        """N."""
        return len(self.similarity)

    def asked(self) -> Trials:
        """The trials.

        Raises:
            SpecError: There are none.
        """
        if self.trials is None:
            raise SpecError(
                "a selector that looks at the loss needs the model itself",
                "Use lorp, shortgpt or streamline, or lorp recompress",
            )
        return self.trials


#: Grounds, a count and the spec -> a plan that removes exactly so many blocks, never the first or the last.
Selector = Callable[[Grounds, int, PruningSpec], PruningPlan]


def eligible(num_blocks: int, removed: Collection[int] = ()) -> list[int]:
    """The blocks that may still go."""
    return [block for block in range(1, num_blocks - 1) if block not in removed]


def mean(losses: Collection[float]) -> float:
    """The mean, whatever the order; infinity if one is."""
    return math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.inf
