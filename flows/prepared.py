"""What a job has before the first plan."""

from dataclasses import dataclass

from lorp.corpus.mixtures import Mixture
from tasks.vault import Reference
from tasks.windows import WindowsUse


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What is the same whatever is calibrated on.

    Attributes:
        checkpoint: The dense model.
        num_blocks: N.
        most: How many of them may go.
        fetched: Text from the hub, by address.
    """

    checkpoint: Reference
    num_blocks: int
    most: int
    fetched: dict[str, Reference]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What candidates are made from.

    Attributes:
        checkpoint: The dense model.
        num_blocks: N.
        most: How many of them may go.
        mixture: Numbers of the corpora that are calibrated on.
        windows: By use.
        shards: Window tables of the capture.
        similarity: Of block boundaries.
        clustering: Of blocks.
    """

    checkpoint: Reference
    num_blocks: int
    most: int
    mixture: Mixture
    windows: dict[WindowsUse, Reference]
    shards: tuple[Reference, ...]
    similarity: Reference
    clustering: Reference

    @property
    def by_corpus(self) -> bool:
        """Whether there are several corpora to tell apart."""
        return len(self.mixture) > 1
