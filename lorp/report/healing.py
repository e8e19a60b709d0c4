"""A patch -> the rows that the page shows of it."""

from dataclasses import dataclass

from lorp.evaluation.perplexity import exp
from lorp.healing import Attempt, SiteRepair
from lorp.healing.patch import Patch
from lorp.report.text import number, percent

_SITES = {
    "attention_read": "Attention reads",
    "attention_write": "Attention writes",
    "mlp_read": "MLP reads",
    "mlp_write": "MLP writes",
    "writes": "All writes",
}
_NOT_TRIED, _NO_HELP = "–", "as it was"


@dataclass(frozen=True, kw_only=True)
class HealedBlock:
    """What is left of the error at each site of one block, as text."""

    block: int
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HealingSection:
    """What is shown of healing."""

    method: str
    columns: tuple[str, ...]
    rows: tuple[HealedBlock, ...]
    attempts: tuple[tuple[str, str], ...]


def healing_section(patch: Patch | None) -> HealingSection | None:
    """A row a block, a column a kind of map; None where nothing was healed."""
    if patch is None:
        return None
    found = {(entry.block, entry.site): _cell(entry) for entry in patch.repairs}
    sites = [site for site in _SITES if any(entry.site == site for entry in patch.repairs)]
    blocks = sorted({entry.block for entry in patch.repairs})
    return HealingSection(
        method=patch.method,
        columns=tuple(_SITES[site] for site in sites),
        rows=tuple(
            HealedBlock(block=block, cells=tuple(found.get((block, site), _NOT_TRIED) for site in sites))
            for block in blocks
        ),
        attempts=tuple((entry.method, _came_to(entry)) for entry in patch.attempts),
    )


def _cell(entry: SiteRepair) -> str:
    if entry.factor is not None:
        return f"× {number(entry.factor, 3)}"
    return _NO_HELP if entry.ridge is None or entry.error is None else percent(entry.error)


def _came_to(attempt: Attempt) -> str:
    if attempt.refused:
        return attempt.refused
    return number(exp(attempt.loss)) if attempt.loss is not None else "not finite"
