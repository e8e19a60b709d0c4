"""Two gates beside each other: which is the stricter."""

import math

from lorp.spec import GateSpec


def limits(gate: GateSpec) -> tuple[float, ...]:
    """The budgets as numbers of which the smaller is the stricter; infinity where there is none."""
    most = (
        gate.max_perplexity_ratio,
        gate.max_perplexity,
        gate.max_accuracy_drop,
        gate.max_repetition_increase,
        gate.max_memory_ratio,
    )
    least = (gate.min_speedup, gate.confidence)
    return (
        *(math.inf if budget is None else budget for budget in most),
        *(math.inf if budget is None else -budget for budget in least),
    )


def looser(one: GateSpec, asked: GateSpec) -> list[str]:
    """Names of the budgets that were given in what is asked, and that a gate has not, or has looser."""
    strictest = {name: one.model_copy(update={name: getattr(asked, name)}) for name in asked.model_fields_set}
    return sorted(name for name, copy in strictest.items() if not as_strict(one, copy))


def as_strict(one: GateSpec, other: GateSpec) -> bool:
    """Whether no budget of one gate is looser than the other's."""
    return all(mine <= theirs for mine, theirs in zip(limits(one), limits(other), strict=True))
