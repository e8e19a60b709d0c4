"""LLM-Streamline (arXiv 2403.19135): remove the contiguous run of blocks whose ends are most alike."""

from lorp.plan import PruningPlan, Removal, plan_of
from lorp.selection.grounds import Grounds
from lorp.spec import PruningSpec


def select(grounds: Grounds, count: int, _spec: PruningSpec) -> PruningPlan:
    """Removes blocks s .. s + count - 1 with the highest `S[s, s + count]`, ties to the shallower; both ends stay."""
    similarity, num_blocks = grounds.similarity, grounds.num_blocks
    start = max(range(1, num_blocks - count), key=lambda first: (similarity[first, first + count], -first))
    score = float(similarity[start, start + count])
    steps = [Removal(block=block, cluster=None, score=score) for block in range(start, start + count)]
    return plan_of("streamline", num_blocks, steps)
