"""LLM-Streamline (arXiv 2403.19135): remove the contiguous run of blocks whose ends are most alike."""

from lorp.clustering import Clustering
from lorp.plan import PruningPlan, Removal, plan_of
from lorp.similarity import Matrix
from lorp.spec import PruningSpec


def select(similarity: Matrix, _clustering: Clustering, count: int, _spec: PruningSpec) -> PruningPlan:
    """Removes blocks s .. s + count - 1 with the highest `S[s, s + count]`, ties to the shallower; both ends stay."""
    num_blocks = len(similarity)
    start = max(range(1, num_blocks - count), key=lambda first: (similarity[first, first + count], -first))
    score = float(similarity[start, start + count])
    steps = [Removal(block=block, cluster=None, score=score) for block in range(start, start + count)]
    return plan_of("streamline", num_blocks, steps)
