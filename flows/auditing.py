"""`lorp audit` and `lorp ledger head`: what is asked is looked at, and told."""

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.terminal import shown_progress
from lorp.errors import SpecError
from lorp.heads import Head, Heads, read_heads
from lorp.report.dossier import render_dossier
from lorp.report.text import counted, printable, size
from tasks.audit import Audited, AuditRequest, audit
from tasks.audit.findings import Audit, Step
from tasks.audit.targets import no_ledger
from tasks.dossier import dossier_data
from tasks.ledger import names, read_ledger
from tasks.signing import trusted_key
from tasks.store import existing_store
from tasks.tracking import is_there
from tasks.vault import Vault
from tasks.workspace import Workspace, workspace

UNSOUND = 4
_STYLES = {"holds": "green", "fails": "bold red", "not done": "yellow"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What `lorp audit` was asked for; its options say what each means."""

    target: str | None
    everything: bool
    replay: bool
    since: Path | None
    trusted_keys: tuple[Path, ...]
    html: Path | None
    registry: bool


def run_audit(wanted: Wanted, store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Audits; 0 if all holds, else 4.

    Raises:
        SpecError: There is no such target, or nothing was asked about.
        StoreError: There is no such store.
        OutageError: It does not answer.
    """
    if (wanted.target is None) != wanted.everything:
        raise SpecError("it is not said what to audit", "Give NAME@production, NAME, a variant's address, or --all")
    places = workspace(store, tracking_uri)
    opened = existing_store(places.store)
    request = AuditRequest(
        target=wanted.target,
        places=places if wanted.registry and is_there(places) else None,
        since=read_heads(_content(wanted.since)) if wanted.since else None,
        trusted=tuple(map(trusted_key, wanted.trusted_keys)),
        replay=wanted.replay,
    )
    _check_writable(wanted.html)
    began = time.monotonic()
    with shown_progress(), redirect_stdout(sys.stderr):
        audited = audit(opened, request)
    found = audited.found
    if as_json:
        typer.echo(json.dumps({"sound": found.sound, **asdict(found), "faults": [vars(each) for each in found.faults]}))
    else:
        _show(found, places, time.monotonic() - began)
    if wanted.html:
        _write(audited, wanted.html, places.store)
        if not as_json:
            typer.echo(f"Dossier: {wanted.html}")
    return 0 if found.sound else UNSOUND


def _check_writable(path: Path | None) -> None:
    """Before hours of work, rather than after."""
    if path is not None and not os.access(path.expanduser().absolute().parent, os.W_OK):
        raise SpecError(f"{path} cannot be written", "Give a file in a folder that can be, with --html")


def _write(audited: Audited, path: Path, store: str) -> None:
    page = render_dossier(dossier_data(audited, store))
    try:
        path.expanduser().write_text(page, encoding="utf-8")
    except OSError as fault:
        raise SpecError(f"{path} cannot be written: {fault.strerror}", "Give another file with --html") from None


def show_heads(name: str | None, store: str | None) -> int:
    """Prints the heads.

    Raises:
        SpecError: There is no such ledger.
        StoreError: There is no such store.
        IntegrityError: A ledger is broken.
    """
    vault = Vault(existing_store(workspace(store).store))
    wanted = [name] if name else names(vault)
    heads = [head for each in wanted for head in _head(vault, each)]
    if name and not heads:
        raise no_ledger(name, names(vault))
    typer.echo(json.dumps(asdict(Heads(time=datetime.now(UTC).isoformat(timespec="seconds"), heads=tuple(heads)))))
    return 0


def _head(vault: Vault, name: str) -> list[Head]:
    return [Head(name=name, sequence=last.sequence, sha256=last.sha256) for last in read_ledger(vault, name)[-1:]]


def _content(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as fault:
        raise SpecError(f"{path} cannot be read: {fault.strerror}", "Give a file that lorp ledger head wrote") from None


def _show(found: Audit, places: Workspace, seconds: float) -> None:
    console = Console(highlight=False)
    console.print(Text(printable(f"{found.target} in {places.store}")), soft_wrap=True)
    for about, steps in groupby(found.steps, key=lambda step: step.about):
        console.print(Text(printable(about), style="bold"), soft_wrap=True)
        table = Table("what", "", "found", show_header=False)
        for step in steps:
            table.add_row(*_row(step))
        console.print(table)
    for fault in found.faults:
        console.print(Text(printable(f"{fault.object}: {fault.reason}"), style="red"), soft_wrap=True)
    read = f"{counted(found.num_objects, 'object')}, {size(found.num_bytes)}, read in {seconds:.1f} s"
    console.print(Text(f"{_verdict(found.steps, len(found.faults))} {read}."), soft_wrap=True)


def _row(step: Step) -> tuple[Text, ...]:
    state = Text(step.state, style=_STYLES[step.state])
    return Text(step.name), state, Text(printable(step.said))


def _verdict(steps: Sequence[Step], faults: int) -> str:
    if faults:
        return f"NOT SOUND: {counted(faults, 'fault')}."
    left = sum(step.state == "not done" for step in steps)
    return "SOUND: all that was looked at holds" + (f"; {left} could not be looked at." if left else ".")
