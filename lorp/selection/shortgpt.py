"""ShortGPT (arXiv 2403.03853): remove the blocks that change their input least (Block Influence)."""

from lorp.plan import PruningPlan, Removal, plan_of
from lorp.selection.grounds import Grounds, eligible
from lorp.spec import PruningSpec


def select(grounds: Grounds, count: int, _spec: PruningSpec) -> PruningPlan:
    """Removes the blocks b with the highest `S[b, b + 1]`, ties to the shallower; first and last stay."""
    similarity, num_blocks = grounds.similarity, grounds.num_blocks
    ranked = sorted(eligible(num_blocks), key=lambda block: (-similarity[block, block + 1], block))
    steps = [Removal(block=block, cluster=None, score=float(similarity[block, block + 1])) for block in ranked[:count]]
    return plan_of("shortgpt", num_blocks, steps)
