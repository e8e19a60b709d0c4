"""How things stand, as tables; times are UTC."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from flows.tables import add_row, make_table
from flows.wording import number
from lorp.errors import one_line
from lorp.ledger import told
from tasks.reconcile import Found
from tasks.standing import AliasSeen, NameSeen, VerdictSeen
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from flows.running import Running


def show(
    places: Workspace,
    prefect: "Running | None",
    verdicts: Sequence[VerdictSeen],
    production: Sequence[NameSeen],
    faults: Mapping[str, str],
) -> None:
    """Prints everything."""
    console = Console(highlight=False)
    _show_prefect(console, prefect, faults.get("prefect"))
    console.print()
    _show_verdicts(console, places, verdicts, faults.get("verdicts"))
    console.print()
    _show_production(console, places, production, faults.get("production"))


def _show_prefect(console: Console, prefect: "Running | None", fault: str | None) -> None:
    if fault or prefect is None:
        _say(console, "Running and waiting", fault or "No Prefect server is set (PREFECT_API_URL).")
        return
    runs = [*prefect.waiting, *prefect.going_on, *prefect.failed]
    if not runs:
        _say(console, "Running and waiting", f"Nothing at {prefect.server}, and nothing failed in the last day.")
        return
    table = make_table("Running and waiting, failed in the last day", "flow", "run", "state", "since", "what it says")
    for run in runs:
        times = f" ({run.times} times)" if run.times > 1 else ""
        add_row(table, run.flow, run.name, f"{run.state}{times}", _minute(run.since), run.message)
    console.print(table)
    for run in (*prefect.waiting, *prefect.failed):
        _line(console, f"  {run.state.lower()}: {run.name}  {run.page or run.id}")


def _show_verdicts(console: Console, places: Workspace, verdicts: Sequence[VerdictSeen], fault: str | None) -> None:
    if fault or not verdicts:
        _say(console, "Verdicts", fault or f"None yet at {places.tracking_uri}. lorp recompress makes the first.")
        return
    figures = ("ratio", "bound", "budget")
    table = make_table("Verdicts, newest first", "", "when", "name", "verdict", "removed", *figures, "version")
    for place, seen in enumerate(verdicts, start=1):
        said = "approved" if seen.approved else "REJECTED"
        blocks = ", ".join(map(str, seen.removed))
        measured = (number(seen.ratio), number(seen.bound), number(seen.budget))
        version = str(seen.version) if seen.version else "-"
        add_row(table, str(place), _minute(seen.time), seen.name, said, blocks, *measured, version)
    console.print(table)
    for place, seen in enumerate(verdicts, start=1):
        _line(console, f"  {place}  {seen.page or seen.report}")


def _show_production(console: Console, places: Workspace, production: Sequence[NameSeen], fault: str | None) -> None:
    if fault or not production:
        _say(console, "Production", fault or f"No version yet in {places.store}.")
        return
    table = make_table("Production", "name", "alias", "version", "since", "asked by", "reason")
    for name in production:
        for row in _alias_rows(name):
            add_row(table, *row)
    console.print(table)
    for name in production:
        for note in _notes(name):
            _line(console, f"  {note}")
    _show_history(console, production)


def _alias_rows(name: NameSeen) -> Iterable[tuple[str, ...]]:
    for seen in name.aliases:
        moved = seen.moved
        yield name.name, seen.alias, str(seen.version), _minute(moved.time), moved.asked_by, moved.reason
    if name.candidate or not name.aliases:
        yield name.name, "candidate", str(name.candidate or "-"), "", "", ""


def _notes(name: NameSeen) -> Iterable[str]:
    if name.fault:
        yield f"{name.name}: {name.fault}"
    yield from (_strayed(name.name, seen, seen.strayed) for seen in name.aliases if seen.strayed)


def _strayed(name: str, seen: AliasSeen, found: Found) -> str:
    there = f"version {found.registry}" if found.registry else "nothing"
    what = f"{name}@{seen.alias} is {there} in MLflow and version {found.ledger} in the ledger"
    if found.cause == "behind":
        return f"{what}, as a crash leaves it: lorp reconcile mends that"
    return f"{what}, moved by something else than lorp: lorp reconcile --restore puts it back"


def _show_history(console: Console, production: Sequence[NameSeen]) -> None:
    if not any(name.history for name in production):
        return
    console.print()
    table = make_table("Ledger, newest first", "when", "name", "entry", "what", "asked by", "reason")
    for name in production:
        for entry in name.history:
            change = entry.change
            what = (_minute(change.time), name.name, str(entry.sequence), told(change))
            add_row(table, *what, change.asked_by, change.reason)
    console.print(table)


def _say(console: Console, title: str, what: str) -> None:
    _line(console, f"{title}: {what}")


def _line(console: Console, text: str) -> None:
    console.print(Text(one_line(text)), soft_wrap=True)


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
