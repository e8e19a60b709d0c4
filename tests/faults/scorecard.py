"""Trials of the fault bench -> `docs/reliability.md`: `python tests/faults/scorecard.py`."""

import os
import platform
from datetime import UTC, datetime

from bench import REPOSITORY, Row, product
from rows import ROWS, trials

_HEAD = """\
# Under faults, load and attack

Written by `make faults` on {day}: {cores} cores, Python {python}, product {product}. `make faults FULL=1` makes more
trials of each row, goes on where it was stopped, and adds to those made before of the same product and bench. How each
row is tried stands in `tests/faults/`.

| what | trials | failed | measured |
|---|---:|---:|---|
"""


def main() -> None:
    """Writes the page."""
    text = _HEAD.format(
        day=f"{datetime.now(UTC):%Y-%m-%d}", cores=os.cpu_count(), python=platform.python_version(), product=product()
    )
    text += "".join(_line(name, row) for name, row in ROWS.items())
    (REPOSITORY / "docs" / "reliability.md").write_text(text)
    print(text)


def _line(name: str, row: Row) -> str:
    noted = trials(name).noted()
    failed = sum(entry["fault"] is not None for entry in noted)
    figures: dict[str, float] = {}
    for entry in noted:
        for figure, value in entry["figures"].items():
            known = figures.get(figure)
            figures[figure] = value if known is None else max(known, value) if figure in row.peaks else known + value
    units = row.units or {}
    said = "; ".join(f"{figure} {_number(value)}{units.get(figure, '')}" for figure, value in figures.items())
    return f"| {row.title} | {len(noted)} | {failed} | {said or 'not tried yet'} |\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


if __name__ == "__main__":
    main()
