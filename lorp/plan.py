"""The plan: which blocks of a model to remove, and why each."""

from dataclasses import dataclass, field
from typing import Literal

from lorp.values import LATER

#: The two of an encoder-decoder, each pruned by itself, or the one that makes features of an image. What has no name is
#: the stack that continues a text, the only one of most models.
Stack = Literal["encoder", "decoder", "vision"]

#: Far more than any model has: what says that it has more is no plan.
MAX_BLOCKS = 10_000


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One step of a selector.

    Attributes:
        block: Index in the dense model.
        cluster: Its cluster, for selectors that use clusters.
        score: What the selector went by; its meaning is the selector's.
    """

    block: int
    cluster: int | None
    score: float


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A plan that others were compared with.

    Attributes:
        method: Whose.
        removed: Blocks, ascending.
        loss: On the windows on which plans compete, in nats; None where it is not finite.
        confirmed_loss: On the windows on which the best are compared once more; None for those that were not.
    """

    method: str
    removed: tuple[int, ...]
    loss: float | None
    confirmed_loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class PruningPlan:
    """Which blocks to remove.

    Attributes:
        method: The selector.
        num_blocks: N of the dense model.
        removed: Blocks to remove, indices in the dense model, ascending.
        steps: The same blocks in the order they were chosen.
        proposals: What was compared, cheapest first; empty where nothing was.
        stack: Whose blocks they are; None of the stack that continues a text.
    """

    method: str
    num_blocks: int
    removed: tuple[int, ...]
    steps: tuple[Removal, ...]
    proposals: tuple[Proposal, ...] = ()
    stack: Stack | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        assert self.removed == tuple(sorted({step.block for step in self.steps}))
        assert len(self.removed) == len(self.steps)
        assert all(0 <= block < self.num_blocks <= MAX_BLOCKS for block in self.removed)

    @property
    def kept(self) -> tuple[int, ...]:
        """Kept blocks, ascending: block i of the variant is block `kept[i]` of the dense model."""
        return tuple(block for block in range(self.num_blocks) if block not in self.removed)


def plan_of(method: str, num_blocks: int, steps: list[Removal]) -> PruningPlan:
    """The plan that takes these steps."""
    removed = tuple(sorted(step.block for step in steps))
    return PruningPlan(method=method, num_blocks=num_blocks, removed=removed, steps=tuple(steps))


def of_stack(stack: Stack | None) -> dict[str, str]:
    """What is noted of the stack that something is about; nothing for a model with one."""
    return {"stack": stack} if stack else {}


def of_its(stack: Stack | None) -> str:
    """Whose blocks, where a model has several stacks: ` of its encoder`."""
    return f" of its {called(stack)}" if stack else ""


def called(stack: Stack | None) -> str:
    """What a stack is called: `encoder`, `vision stack`, `text stack`."""
    return stack if stack in ("encoder", "decoder") else f"{stack or 'text'} stack"
