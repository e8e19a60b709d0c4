"""Captured shards -> similarity -> clusters -> plan -> pruned checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.checkpoint import open_checkpoint
from lorp.clustering import Clustering, cluster_blocks, num_clusters_for
from lorp.healing.patch import WEIGHTS, open_weights
from lorp.parquet import decode_windows
from lorp.plan import PruningPlan, of_stack
from lorp.selection import Grounds, make_plan
from lorp.similarity import Matrix, Similarity, rls, similarity_of
from lorp.spec import ClusteringKind, PruningSpec
from lorp.stability import stability_of_capture
from lorp.surgery import prune
from lorp.values import decode, encode
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault


@dataclass(frozen=True, kw_only=True)
class Score(Request):
    """Similarity and RLS from all shards of a capture.

    Attributes:
        shards: The capture's window tables.
        seed: Of the bootstrap.
        by_corpus: Whether its windows are of several corpora.
    """

    STAGE: ClassVar[str] = "score"
    VERSION: ClassVar[int] = 2
    shards: tuple[Reference, ...]
    seed: int
    by_corpus: bool = False

    def inputs(self) -> Mapping[str, Any]:
        """Digests of the shards' window tables, and the bootstrap's seed."""
        windows = [shard.sha256 for shard in self.shards]
        return {"windows": windows, "seed": self.seed, "by_corpus": self.by_corpus}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Scores."""
        shards = [decode_windows(vault.read(shard)) for shard in self.shards]
        similarity = similarity_of(shards, self.seed, self.by_corpus)
        return {"similarity": vault.put("values", encode(similarity), ".json")}


@dataclass(frozen=True, kw_only=True)
class Cluster(Request):
    """Clusters of blocks; as many as RLS says unless `num_clusters` does."""

    STAGE: ClassVar[str] = "cluster"
    VERSION: ClassVar[int] = 1
    similarity: Reference
    kind: ClusteringKind
    num_clusters: int | None

    def inputs(self) -> Mapping[str, Any]:
        """Digest of the similarity, and how to cluster."""
        return {"similarity": self.similarity.sha256, "kind": self.kind, "num_clusters": self.num_clusters}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Clusters."""
        similarity = decode(Similarity, vault.read(self.similarity))
        num_clusters = self.num_clusters or num_clusters_for(similarity.rls)
        clustering = cluster_blocks(similarity.block_inputs, num_clusters, self.kind)
        return {"clustering": vault.put("values", encode(clustering), ".json")}


@dataclass(frozen=True, kw_only=True)
class Plan(Request):
    """Which blocks to remove, by selectors that look at the similarity alone."""

    STAGE: ClassVar[str] = "plan"
    VERSION: ClassVar[int] = 1
    similarity: Reference
    clustering: Reference
    spec: PruningSpec
    count: int

    def inputs(self) -> Mapping[str, Any]:
        """Digests of similarity and clustering, count, method and criterion."""
        return {
            "similarity": self.similarity.sha256,
            "clustering": self.clustering.sha256,
            "count": self.count,
            "method": ",".join(self.spec.method),
            "criterion": self.spec.criterion,
            **of_stack(self.spec.stack),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Plans."""
        grounds = Grounds(
            similarity=decode(Similarity, vault.read(self.similarity)).block_inputs,
            clustering=decode(Clustering, vault.read(self.clustering)),
        )
        plan = make_plan(grounds, self.count, self.spec)
        return {"plan": vault.put("values", encode(plan), ".json")}


@dataclass(frozen=True, kw_only=True)
class Resample(Request):
    """How sure the plan is of a selector that looks at the similarity alone.

    Attributes:
        shards: The capture's window tables.
        spec: How blocks are clustered and chosen.
        count: Blocks to remove.
        seed: Of the bootstrap.
        by_corpus: Whether the windows are of several corpora.
    """

    STAGE: ClassVar[str] = "resample"
    VERSION: ClassVar[int] = 2
    shards: tuple[Reference, ...]
    spec: PruningSpec
    count: int
    seed: int
    by_corpus: bool = False

    def inputs(self) -> Mapping[str, Any]:
        """Digests of the shards' window tables, how blocks are clustered and chosen, count and seed."""
        return {
            "windows": [shard.sha256 for shard in self.shards],
            "pruning": self.spec.model_dump(mode="json", exclude={"remove", "stack"}),
            "count": self.count,
            "seed": self.seed,
            "by_corpus": self.by_corpus,
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Plans anew for every resample."""
        shards = [decode_windows(vault.read(shard)) for shard in self.shards]

        def plan(block_inputs: Matrix) -> tuple[int, ...]:
            num_clusters = self.spec.num_clusters or num_clusters_for(rls(block_inputs))
            clustering = cluster_blocks(block_inputs, num_clusters, self.spec.clustering)
            return make_plan(Grounds(similarity=block_inputs, clustering=clustering), self.count, self.spec).removed

        stability = stability_of_capture(shards, plan, self.seed, self.by_corpus)
        return {"stability": vault.put("values", encode(stability), ".json")}


@dataclass(frozen=True, kw_only=True)
class Prune(Request):
    """The pruned checkpoint."""

    STAGE: ClassVar[str] = "prune"
    VERSION: ClassVar[int] = 2
    checkpoint: Reference
    plan: Reference
    weights: Reference | None = None

    def inputs(self) -> Mapping[str, Any]:
        """Digests of checkpoint, plan, and new weights if there are any."""
        healed = {"weights": self.weights.sha256} if self.weights else {}
        return {"checkpoint": self.checkpoint.sha256, "plan": self.plan.sha256, **healed}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Cuts."""
        plan = decode(PruningPlan, vault.read(self.plan))
        new = open_weights(vault.folder(self.weights) / WEIGHTS) if self.weights else ()
        prune(open_checkpoint(vault.folder(self.checkpoint), plan.stack), plan, scratch, new)
        names = [path.name for path in scratch.iterdir()]
        return {"variant": vault.put_folder("variants", scratch, names)}
