"""`lorp doctor`: everything looked at, and what was found shown."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.doctor.check import Check, Finding, State, examine, fault
from tasks.doctor.installation import installation_checks

_STYLES: dict[State, str] = {"ok": "green", "warning": "bold yellow", "fault": "bold red", "skipped": "dim"}


def examine_installation(store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Looks at everything; 0 if there is no fault, else 1."""
    with redirect_stdout(sys.stderr):
        findings = examine([*installation_checks(store, tracking_uri), *_prefect_checks()])
    if as_json:
        typer.echo(json.dumps({"faults": _count(findings, "fault"), "findings": [asdict(each) for each in findings]}))
    else:
        _show(findings)
    return 1 if _count(findings, "fault") else 0


def _prefect_checks() -> list[Check]:
    try:
        from flows.doctor.prefect import prefect_checks
    except Exception as error:  # whatever broken packages come up with
        broken = fault("prefect", f"Prefect cannot be imported: {error}", "Mend what is said of packages first")
        return [Check(name="prefect", look=lambda: [broken])]
    return prefect_checks()


def _show(findings: Sequence[Finding]) -> None:
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        state = finding.state if finding.state in ("ok", "skipped") else finding.state.upper()
        table.add_row(Text(state, _STYLES[finding.state]), Text(finding.name), Text(finding.what))
        if finding.remedy:
            table.add_row("", "", Text(f"-> {finding.remedy}", "bold"))
    console = Console(highlight=False)
    console.print(table)
    faults, warnings = _count(findings, "fault"), _count(findings, "warning")
    console.print(Text(f"\n{_number(faults, 'fault')}, {_number(warnings, 'warning')}"))


def _count(findings: Sequence[Finding], state: State) -> int:
    return sum(finding.state == state for finding in findings)


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
