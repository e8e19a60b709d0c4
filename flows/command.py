"""`lorp recompress` and `lorp demo`: specs checked, flow run, outcomes shown."""

import json
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.terminal import shown_progress
from flows.wording import Outcome, number, summary
from lorp.corpus import calibration_and_evaluation
from lorp.errors import SpecError
from lorp.gate import MIN_WINDOWS
from lorp.models import device_kind
from lorp.spec import RecompressSpec, resolve_count
from tasks.fetch import source_num_blocks
from tasks.vault import open_vault
from tasks.workspace import Workspace, workspace

_REJECTED = 3


def recompress_all(specs: Sequence[RecompressSpec], store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Runs a job a spec, one after the other; returns 0 if the last is approved, else 3.

    Raises:
        LorpError: As `flows.recompress.recompress` does.
    """
    places = workspace(store, tracking_uri)
    check(specs[0], places)
    with shown_progress():
        from flows.recompress import recompress

        outcomes = [recompress(spec, places) for spec in specs]
    for outcome in outcomes:
        if as_json:
            typer.echo(json.dumps(outcome))
    if not as_json:
        show(outcomes)
    return 0 if outcomes[-1]["verdict"]["approved"] else _REJECTED


def check(spec: RecompressSpec, places: Workspace) -> None:
    """Finds what can be found wrong before anything is started.

    Raises:
        InputError: A setting, the store, the source, the count or the text cannot be used.
    """
    if spec.evaluation.num_windows < MIN_WINDOWS:
        raise SpecError(
            f"{spec.evaluation.num_windows} evaluation windows are too few for a verdict",
            f"Ask for at least {MIN_WINDOWS} with --evaluation-windows",
        )
    open_vault(places.store)
    calibration_and_evaluation(spec.calibration.corpus, spec.evaluation.corpus, spec.calibration.seed)
    device_kind(spec.compute.device)
    resolve_count(spec.pruning.remove, source_num_blocks(spec.source))


def show(outcomes: Sequence[Outcome]) -> None:
    """Prints what was measured, the verdicts, and where to look further."""
    console = Console(highlight=False)
    table = Table(title=f"{outcomes[0]['name']}: dense perplexity {number(outcomes[0]['perplexity']['dense'])}")
    for heading in ("removed", "blocks", "perplexity", "ratio", "upper bound", "budget", "weights", "verdict", "version"):
        table.add_column(heading)
    for outcome in outcomes:
        table.add_row(*(Text(cell) for cell in _row(outcome)))
    console.print(table)
    for outcome in outcomes:
        count = len(outcome["plan"]["removed"])
        console.print(Text(f"{count} removed, {summary(outcome)}"), soft_wrap=True)
        console.print(Text(f"  variant: {outcome['variant']['uri']}"), soft_wrap=True)
        console.print(Text(f"  report:  {outcome['report']}"), soft_wrap=True)
    console.print(Text(f"Open a report in a browser: python -m webbrowser {outcomes[-1]['report']}"), soft_wrap=True)


def _row(outcome: Outcome) -> list[str]:
    perplexity, approved = outcome["perplexity"], outcome["verdict"]["approved"]
    saved = 1 - outcome["variant"]["weight_bytes"] / outcome["checkpoint"]["weight_bytes"]
    return [
        str(len(outcome["plan"]["removed"])),
        ", ".join(map(str, outcome["plan"]["removed"])),
        number(perplexity["pruned"]),
        number(perplexity["ratio"]),
        number(perplexity["upper_bound"]),
        number(outcome["verdict"]["criteria"][0]["budget"]),
        f"-{saved:.1%}",
        "APPROVED" if approved else "REJECTED",
        str(outcome["model_version"]) if approved else "-",
    ]
