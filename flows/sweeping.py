"""`lorp sweep`: what was asked checked, flow run, cells shown."""

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from flows.command import check
from flows.sweep import SweepSpec, run_sweep
from flows.tables import add_row, make_table
from flows.terminal import shown_progress
from flows.wording import sweep_rows, sweep_summary
from tasks.workspace import workspace

_INCOMPLETE = 1
_SHOWN = ("removed", "method", "healing", "blocks", "ratio", "upper bound", "accuracy", "verdict")


def sweep_source(asked: SweepSpec, store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Sweeps; 0 if every cell has a verdict, else 1.

    Raises:
        LorpError: As `flows.command.check` does; what only some cells cannot have is told in their rows.
    """
    places = workspace(store, tracking_uri)
    check(asked.common, places)
    with shown_progress(), redirect_stdout(sys.stderr):
        outcome = run_sweep(asked, places)
    if as_json:
        typer.echo(json.dumps(outcome))
    else:
        _show(outcome)
    return 0 if all(cell["approved"] is not None for cell in outcome["cells"]) else _INCOMPLETE


def _show(outcome: Mapping[str, Any]) -> None:
    console = Console(highlight=False)
    rows, table = sweep_rows(outcome["cells"]), make_table(outcome["source"], *_SHOWN, whole="verdict")
    for row in rows:
        add_row(table, *(row[column] for column in _SHOWN))
    console.print(table)
    for cell, row in zip(outcome["cells"], rows, strict=True):
        if cell["approved"] is None:
            console.print(Text(f"{row['removed']} {row['method']} {row['healing']}: {row['reason']}"), soft_wrap=True)
    console.print(Text(sweep_summary(outcome["cells"])), soft_wrap=True)
