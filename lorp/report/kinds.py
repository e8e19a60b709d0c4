"""Similarity by kind of token -> what the page shows of it, where a stack reads images with text."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from lorp.clustering import Clustering
from lorp.plan import PruningPlan
from lorp.report.heat_map import heat_map
from lorp.report.text import number
from lorp.similarity import KindSimilarity, Similarity


@dataclass(frozen=True, kw_only=True)
class KindMap:
    """One kind of token.

    Attributes:
        kind: `image` or `text`.
        num_tokens: Tokens of it that were captured.
        rls: Representation Locality Score, as text.
        drawing: Its similarity of block inputs.
    """

    kind: str
    num_tokens: int
    rls: str
    drawing: Markup


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """One block, as text.

    Attributes:
        block: Its number.
        removed: Whether it is gone.
        alike: By kind, the mean cosine between what enters the block and what leaves it.
    """

    block: int
    removed: bool
    alike: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KindSection:
    """What is shown of kinds of tokens."""

    maps: tuple[KindMap, ...]
    rows: tuple[KindRow, ...]


def kind_section(similarity: Similarity, clustering: Clustering, plan: PruningPlan) -> KindSection | None:
    """A drawing a kind, and a row a block; None where there are no images."""
    if not similarity.kinds:
        return None
    rows = [
        KindRow(
            block=block,
            removed=block in plan.removed,
            alike=tuple(number(kind.boundaries[block][block + 1], 3) for kind in similarity.kinds),
        )
        for block in range(plan.num_blocks)
    ]
    return KindSection(maps=tuple(_map(kind, clustering, plan) for kind in similarity.kinds), rows=tuple(rows))


def _map(kind: KindSimilarity, clustering: Clustering, plan: PruningPlan) -> KindMap:
    block_inputs = np.array(kind.boundaries)[:-1, :-1]
    return KindMap(
        kind=kind.kind,
        num_tokens=kind.num_tokens,
        rls="does not exist" if kind.rls is None else f"{number(kind.rls, 3)} bits",
        drawing=heat_map(block_inputs, clustering.labels, plan.removed, kind.kind),
    )
