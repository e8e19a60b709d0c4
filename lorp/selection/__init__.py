"""Selectors by name. A new one is a file here and a line in `SELECTORS`.

Each takes the N x N similarity of block inputs, the clustering, a count and the spec, and returns a plan that removes
exactly `count` blocks, never the first or the last.
"""

from collections.abc import Callable, Mapping

from lorp.clustering import Clustering
from lorp.plan import PruningPlan
from lorp.selection import lorp, shortgpt, streamline
from lorp.similarity import Matrix
from lorp.spec import Method, PruningSpec, resolve_count

Selector = Callable[[Matrix, Clustering, int, PruningSpec], PruningPlan]

SELECTORS: Mapping[Method, Selector] = {
    "lorp": lorp.select,
    "shortgpt": shortgpt.select,
    "streamline": streamline.select,
}


def make_plan(similarity: Matrix, clustering: Clustering, spec: PruningSpec) -> PruningPlan:
    """The plan that a spec asks for.

    Raises:
        CountError: So many blocks cannot be removed.
    """
    count = resolve_count(spec.remove, len(similarity))
    return SELECTORS[spec.method](similarity, clustering, count, spec)
