"""`lorp history`, `why`, `diff`, `affected`: answers from ledgers and records, told."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.auditing import opened_store
from flows.status_tables import what_was_done
from flows.wording import number, rows
from lorp.errors import SpecError
from tasks.answers import Affected, Reign, Side, Why, affected, reigns, side, why
from tasks.ledger import names, read_ledger
from tasks.vault import Vault
from tasks.workspace import workspace

_DIGEST = re.compile(r"[0-9a-f]{64}")
_VALUE_WIDTH = 60


def show_history(name: str, store: str | None, as_json: bool) -> int:
    """Tells a ledger.

    Raises:
        SpecError: There is no such ledger.
        StoreError: There is no such store.
        IntegrityError: The ledger is broken.
    """
    vault = Vault(opened_store(workspace(store).store))
    entries = read_ledger(vault, name)
    if not entries:
        raise SpecError(f"there is no ledger of {name}", f"There are: {', '.join(names(vault)) or 'none'}")
    held = reigns(entries)
    if as_json:
        told = {"name": name, "entries": [asdict(entry) for entry in entries], "held": [asdict(each) for each in held]}
        typer.echo(json.dumps(told))
        return 0
    table = ("entry", "when", "what", "asked by", "reason", "verdict")
    lines = [
        (str(entry.sequence), _minute(change.time), what_was_done(change), change.asked_by, change.reason, _id(change))
        for entry in entries
        for change in [entry.change]
    ]
    _print_table(f"Ledger of {name}", table, lines)
    if held:
        _print_table("What each alias stood for", ("alias", "version", "from", "until"), map(_reign_row, held))
    return 0


def show_why(target: str, store: str | None, as_json: bool) -> int:
    """Tells why a version is as it is. Raises as `tasks.answers.why` does, and for no store."""
    found = why(opened_store(workspace(store).store), target)
    if as_json:
        typer.echo(json.dumps(_why_value(found)))
        return 0
    said = "approved" if found.verdict.approved else "rejected"
    _print_table(
        f"{found.run.title}: {said} by its gate",
        ("criterion", "value", "bound", "budget", "result"),
        [
            tuple(str(row[column]) for column in ("criterion", "value", "bound", "budget", "result"))
            for row in rows([vars(each) for each in found.verdict.criteria])
        ],
    )
    _print_table(
        f"Blocks removed, chosen by {found.plan.method}",
        ("block", "cluster", "blocks in it", "similarity of input and output", "score", "resamples that remove it"),
        [
            (
                str(each.block),
                str(each.cluster),
                str(each.cluster_size),
                number(each.similarity),
                number(each.score),
                f"{each.share:.0%}",
            )
            for each in found.blocks
        ],
    )
    for move in found.moves:
        Console(highlight=False).print(Text(_moved(vars(move))), soft_wrap=True)
    return 0


def show_diff(one: str, other: str, store: str | None, as_json: bool) -> int:
    """Tells how two versions differ. Raises as `tasks.answers.side` does, and for no store."""
    opened = opened_store(workspace(store).store)
    first, second = side(opened, one), side(opened, other)
    changed = _changed(first.spec, second.spec)
    measured = _changed(_figures(first), _figures(second), same=True)
    if as_json:
        told = {
            "versions": [_side_value(each) for each in (first, second)],
            "spec": {name: list(pair) for name, pair in changed.items()},
            "measured": {name: list(pair) for name, pair in measured.items()},
            "kept_in_one": [sorted(set(first.kept) - set(second.kept)), sorted(set(second.kept) - set(first.kept))],
        }
        typer.echo(json.dumps(told))
        return 0
    columns = ("", first.title, second.title)
    lines = [(name, _short(pair[0]), _short(pair[1])) for name, pair in changed.items()]
    _print_table("What was asked", columns, lines or [("nothing differs", "", "")])
    _print_table(
        "Blocks",
        columns,
        [
            ("removed", _removed(first), _removed(second)),
            ("kept only here", _only(first, second), _only(second, first)),
        ],
    )
    _print_table("What was measured", columns, [(name, _told(a), _told(b)) for name, (a, b) in measured.items()])
    return 0


def show_affected(digest: str, store: str | None, as_json: bool) -> int:
    """Tells what rests on something.

    Raises:
        SpecError: It is no digest.
        StoreError: There is no such store.
        IntegrityError: A ledger or record cannot be read.
    """
    if not _DIGEST.fullmatch(digest):
        raise SpecError(f"{digest} is no digest", "Give the 64 characters of a sha256, as records name them")
    found = affected(opened_store(workspace(store).store), digest)
    if as_json:
        typer.echo(json.dumps({"digest": digest, "affected": [asdict(each) for each in found]}))
    elif not found:
        typer.echo(f"Nothing in the ledgers of this store rests on {digest}.")
    else:
        _print_table(
            f"What rests on {digest}",
            ("model", "version", "in use as", "it is", "through"),
            [_affected_row(each) for each in found],
        )
    return 0


def _reign_row(reign: Reign) -> tuple[str, ...]:
    until = _minute(reign.until) if reign.until else "now"
    return reign.alias, str(reign.version), _minute(reign.since), until


def _why_value(found: Why) -> dict[str, Any]:
    record = found.run.record
    return {
        "name": record.model_name,
        "version": record.model_version,
        "variant": found.run.variant.sha256,
        "method": found.plan.method,
        "approved": found.verdict.approved,
        "criteria": [vars(criterion) for criterion in found.verdict.criteria],
        "removed": [asdict(block) for block in found.blocks],
        "kept": list(found.plan.kept),
        "moves": [vars(move) for move in found.moves],
    }


def _moved(move: Mapping[str, Any]) -> str:
    by = f" by {move['asked_by']}" if move["asked_by"] else ""
    said = f": {move['reason']}" if move["reason"] else ""
    return f"{_minute(move['time'])} {move['act']} to {move['alias']}{by}{said}"


def _side_value(one: Side) -> dict[str, Any]:
    return {"title": one.title, "variant": one.variant, "num_blocks": one.num_blocks, "kept": list(one.kept)}


def _figures(one: Side) -> dict[str, Any]:
    """What was measured, and each criterion's value with its bound."""
    judged = {f"{each.name} ({end})": getattr(each, end) for each in one.criteria for end in ("value", "bound")}
    return one.figures | judged


def _changed(first: Mapping[str, Any], second: Mapping[str, Any], same: bool = False) -> dict[str, tuple[Any, Any]]:
    """What two have by each name, where that differs, or of all that either has."""
    pairs = {name: (first.get(name), second.get(name)) for name in (*first, *(set(second) - set(first)))}
    return {name: pair for name, pair in pairs.items() if same or pair[0] != pair[1]}


def _removed(one: Side) -> str:
    return ", ".join(str(block) for block in range(one.num_blocks) if block not in one.kept)


def _only(one: Side, other: Side) -> str:
    return ", ".join(map(str, sorted(set(one.kept) - set(other.kept)))) or "-"


def _affected_row(one: Affected) -> tuple[str, ...]:
    version = str(one.version) if one.version else "rejected"
    through = " < ".join(digest[:12] for digest in one.through)
    return one.name, version, ", ".join(one.aliases), ", ".join(one.roles), through


def _told(value: Any) -> str:
    return number(value) if isinstance(value, float) or value is None else str(value)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= _VALUE_WIDTH else f"{text[:_VALUE_WIDTH]}…"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _id(change: Any) -> str:
    return str(change.verdict)[:12]


def _print_table(title: str, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    table = Table(*columns, title=Text(title), title_justify="left")
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    Console(highlight=False).print(table)
