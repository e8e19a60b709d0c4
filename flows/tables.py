"""Tables for people: as narrow as their place, with nothing left out, and no text taken for more than text."""

from rich.table import Column, Table
from rich.text import Text

from lorp.errors import one_line


def make_table(title: str, *columns: str, whole: str = "") -> Table:
    """A table without rows.

    Args:
        title: Above it; none if empty.
        columns: Their headings.
        whole: The column whose cells are not folded.
    """
    made = [Column(one_line(each), no_wrap=each == whole, overflow="fold") for each in columns]
    shown = Text(one_line(title)) if title else None
    return Table(*made, title=shown, title_justify="left", collapse_padding=True, pad_edge=False)


def add_row(to: Table, *cells: str) -> None:
    """Adds one."""
    to.add_row(*(Text(one_line(cell)) for cell in cells))
