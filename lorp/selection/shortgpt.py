"""ShortGPT (arXiv 2403.03853): remove the blocks that change their input least (Block Influence)."""

from lorp.clustering import Clustering
from lorp.plan import PruningPlan, Removal, plan_of
from lorp.similarity import Matrix
from lorp.spec import PruningSpec


def select(similarity: Matrix, _clustering: Clustering, count: int, _spec: PruningSpec) -> PruningPlan:
    """Removes the blocks b with the highest `S[b, b + 1]`, ties to the shallower; first and last stay."""
    num_blocks = len(similarity)
    ranked = sorted(range(1, num_blocks - 1), key=lambda block: (-similarity[block, block + 1], block))
    steps = [Removal(block=block, cluster=None, score=float(similarity[block, block + 1])) for block in ranked[:count]]
    return plan_of("shortgpt", num_blocks, steps)
