"""A patch -> the rows that the page shows of it."""

from dataclasses import dataclass

from lorp.healing.patch import Patch
from lorp.report.text import percent

_SITES = {
    "attention_read": "Attention reads",
    "attention_write": "Attention writes",
    "mlp_read": "MLP reads",
    "mlp_write": "MLP writes",
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


def healing_section(patch: Patch | None) -> HealingSection | None:
    """A row a block, a column a kind of map; None where nothing was healed."""
    if patch is None:
        return None
    found = {
        (entry.block, entry.site): _NO_HELP if entry.ridge is None else percent(entry.error) for entry in patch.repairs
    }
    sites = [site for site in _SITES if any(entry.site == site for entry in patch.repairs)]
    blocks = sorted({entry.block for entry in patch.repairs})
    return HealingSection(
        method=patch.method,
        columns=tuple(_SITES[site] for site in sites),
        rows=tuple(
            HealedBlock(block=block, cells=tuple(found.get((block, site), _NOT_TRIED) for site in sites))
            for block in blocks
        ),
    )
