"""Plans from a similarity matrix in a file, without a model."""

from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from rich.console import Console
from rich.table import Table

from lorp.clustering import cluster_blocks, num_clusters_for
from lorp.depth import resolve_count
from lorp.errors import SimilarityError, SpecError, first_line
from lorp.selection import Grounds, make_plan
from lorp.similarity import Matrix, checked_block_inputs, rls
from lorp.spec import PruningSpec

#: What numpy raises for files that it cannot read; the header is a piece of Python that it parses.
_UNREADABLE = (
    OSError, ValueError, TypeError, EOFError, MemoryError, OverflowError, RecursionError, SyntaxError, TokenError,
    BadZipFile,
)  # fmt: skip

#: How files begin that numpy reads without unpickling: arrays, and archives of them.
_MAGIC = (b"\x93NUMPY", b"PK")


def plan_offline(path: Path, specs: Sequence[PruningSpec]) -> dict[str, Any]:
    """RLS, clusters and a plan a spec; the specs share their clustering.

    Raises:
        SimilarityError: No such file, or not a similarity matrix.
        CountError: A count that cannot be met.
    """
    similarity = _load(path)
    score = rls(similarity)
    clustering = cluster_blocks(similarity, specs[0].num_clusters or num_clusters_for(score), specs[0].clustering)
    grounds = Grounds(similarity=similarity, clustering=clustering)
    plans = [make_plan(grounds, resolve_count(_count(spec), len(similarity)), spec) for spec in specs]
    return {
        "rls": score,
        "num_clusters": len(clustering.clusters),
        "clusters": [list(members) for members in clustering.clusters],
        "plans": [{"method": plan.method, "removed": list(plan.removed)} for plan in plans],
    }


def show_plans(planned: dict[str, Any]) -> None:
    """Prints plans as a table."""
    console = Console()
    console.print(f"RLS {planned['rls']:.4f}, {planned['num_clusters']} clusters")
    for number, members in enumerate(planned["clusters"]):
        console.print(f"  cluster {number}: blocks {', '.join(map(str, members))}")
    table = Table("method", "count", "blocks to remove")
    for plan in planned["plans"]:
        table.add_row(plan["method"], str(len(plan["removed"])), ", ".join(map(str, plan["removed"])))
    console.print(table)


def _count(spec: PruningSpec) -> float:
    if spec.remove == "auto":
        raise SpecError("--remove auto needs the model itself", "Give counts, such as 1,3,5, or use lorp recompress")
    return spec.remove


def _load(path: Path) -> Matrix:
    remedy = "Give an .npy file with the N x N matrix, written by numpy.save"
    try:
        with path.open("rb") as file:
            if not file.read(6).startswith(_MAGIC):
                raise ValueError("it is no .npy file")
        # Mapped, it takes no memory before its header is held against the length of the file.
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except _UNREADABLE as fault:
        raise SimilarityError(f"{path} cannot be read: {first_line(fault)}", remedy) from None
    if not isinstance(loaded, np.ndarray):
        raise SimilarityError(f"{path} holds several arrays", remedy)
    return checked_block_inputs(loaded)
