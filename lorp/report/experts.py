"""Loads of experts, dense and pruned -> the rows that the page shows of them."""

from dataclasses import dataclass
from statistics import fmean

from lorp.expert_load import ExpertLoad, effective_experts, moved_share
from lorp.plan import PruningPlan
from lorp.report.text import number, percent


@dataclass(frozen=True, kw_only=True)
class LoadedBlock:
    """One kept block, as text.

    Attributes:
        block: Its number in the dense model.
        experts: How many it has.
        dense: Effective experts in the dense model.
        pruned: The same in the variant.
        moved: Share of choices that moved.
    """

    block: int
    experts: int
    dense: str
    pruned: str
    moved: str


@dataclass(frozen=True, kw_only=True)
class ExpertSection:
    """What is shown of experts."""

    rows: tuple[LoadedBlock, ...]
    moved: str


def expert_section(loads: tuple[ExpertLoad, ExpertLoad] | None, plan: PruningPlan) -> ExpertSection | None:
    """A row a kept block with experts, dense and pruned load side by side; None for a model without experts."""
    if loads is None:
        return None
    dense, pruned = loads
    pairs = [(block, dense.choices[block], pruned.choices[index]) for index, block in enumerate(plan.kept)]
    pairs = [pair for pair in pairs if any(pair[1])]
    rows = [
        LoadedBlock(
            block=block,
            experts=len(before),
            dense=number(effective_experts(before), 3),
            pruned=number(effective_experts(after), 3),
            moved=percent(moved_share(before, after)),
        )
        for block, before, after in pairs
    ]
    return ExpertSection(rows=tuple(rows), moved=percent(fmean(moved_share(*pair[1:]) for pair in pairs)))
