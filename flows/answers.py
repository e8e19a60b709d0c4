"""`lorp history`, `why`, `diff`, `affected`: answers from ledgers and records, told."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from flows.auditing import UNSOUND
from flows.tables import add_row, make_table
from flows.wording import label
from lorp.errors import SpecError
from lorp.gate import CriterionResult
from lorp.ledger import Change, Entry, told
from lorp.plan import of_its
from lorp.report import text
from tasks.affected import Affected, affected
from tasks.answers import Approved, Reign, Side, Why, approvals, reigns, side, why
from tasks.audit.targets import no_ledger
from tasks.ledger import names, read_ledger
from tasks.store import existing_store
from tasks.vault import Vault
from tasks.workspace import workspace

_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")


def show_history(name: str, store: str | None, as_json: bool) -> int:
    """Tells a ledger.

    Raises:
        SpecError: There is no such ledger.
        StoreError: There is no such store.
        IntegrityError: The ledger, or what a promotion rests on, is broken.
    """
    vault = Vault(existing_store(workspace(store).store))
    entries = read_ledger(vault, name)
    if not entries:
        raise no_ledger(name, names(vault))
    held, people = reigns(entries), approvals(vault, entries)
    if as_json:
        value = {
            "name": name,
            "entries": [asdict(entry) for entry in entries],
            "held": [asdict(each) for each in held],
            "approvals": [asdict(each) for each in people.values()],
        }
        typer.echo(json.dumps(value))
        return 0
    _say(f"Ledger of {name}")
    for entry in entries:
        _tell_entry(entry, people.get(entry.sequence))
    if held:
        _print_table("What each alias stood for", ("alias", "version", "from", "until"), map(_reign_row, held))
    return 0


def show_why(target: str, store: str | None, as_json: bool) -> int:
    """Tells why a version is as it is. Raises as `tasks.answers.why` does, and for no store."""
    found = why(existing_store(workspace(store).store), target)
    if as_json:
        typer.echo(json.dumps(_why_value(found)))
        return 0
    said = "approved" if found.verdict.approved else "rejected"
    _say(f"{found.run.title}: {said} by its gate, verdict {found.verdict.id}")
    _say(f"  variant {found.run.variant.sha256}")
    _say(f"  source  {found.run.record.source}, {found.run.chain.checkpoint.sha256}")
    _print_criteria(found.verdict.criteria)
    _print_table(
        f"Blocks removed{of_its(found.plan.stack)}, chosen by {found.plan.method}; healing: {found.healing}",
        ("block", "cluster", "blocks in it", "similarity", "score", "resamples that remove it"),
        [
            (
                str(each.block),
                str(each.cluster),
                str(each.cluster_size),
                text.number(each.similarity),
                text.number(each.score),
                text.percent(each.share),
            )
            for each in found.blocks
        ],
    )
    _say("Similarity: mean cosine between a block's input and what it hands on.")
    _say(f"Score: {text.score_meaning(found.plan.method, found.run.spec.pruning.criterion)}")
    for move in found.moves:
        _tell_move(move.change, move.approved)
    return 0


def show_diff(one: str, other: str, store: str | None, as_json: bool) -> int:
    """Tells how two versions differ. Raises as `tasks.answers.side` does, and for no store."""
    opened = existing_store(workspace(store).store)
    first, second = side(opened, one), side(opened, other)
    asked = {name: pair for name, pair in _beside(first.spec, second.spec).items() if pair[0] != pair[1]}
    measured = _beside(_figures(first), _figures(second))
    if as_json:
        value = {
            "versions": [_side_value(each) for each in (first, second)],
            "spec": {name: list(pair) for name, pair in asked.items()},
            "measured": {name: list(pair) for name, pair in measured.items()},
            "kept_in_one": [sorted(set(first.kept) - set(second.kept)), sorted(set(second.kept) - set(first.kept))],
        }
        typer.echo(json.dumps(value))
        return 0
    columns = ("", first.title, second.title)
    lines = [(name, _value(pair[0]), _value(pair[1])) for name, pair in asked.items()]
    _print_table("What was asked", columns, lines or [("nothing differs", "", "")])
    _print_table("Blocks", columns, _block_rows(first, second))
    if first.source != second.source:
        _say("Their sources differ: numbers of blocks do not mean the same.")
    _print_table("What was measured", columns, [(name, _value(a), _value(b)) for name, (a, b) in measured.items()])
    return 0


def show_affected(digest: str, store: str | None, as_json: bool) -> int:
    """Tells what rests on something; 0, or 4 if a record could not be read.

    Raises:
        SpecError: It is no digest.
        StoreError: There is no such store.
        IntegrityError: A ledger cannot be read.
    """
    if not _DIGEST.fullmatch(digest):
        raise SpecError(f"{digest} is no digest", "Give a sha256 as records name them, or a commit on the hub")
    found = affected(existing_store(workspace(store).store), digest)
    if as_json:
        value = {"affected": [asdict(each) for each in found.runs], "unreadable": list(found.unreadable)}
        typer.echo(json.dumps({"digest": digest, **value}))
    elif found.runs:
        _say(f"What rests on {digest}")
        columns = ("model", "version", "in use as", "it is", "through variants, nearest first")
        _print_table("", columns, map(_affected_row, found.runs))
    else:
        _say(f"No record in this store names {digest}.")
        _say("A text goes by the digest over its documents (documentsSha256 in a record), not by that of its file.")
    if found.unreadable and not as_json:
        _say(f"Nothing can be said of these, which are gone or have changed: {', '.join(found.unreadable)}")
    return UNSOUND if found.unreadable else 0


def _tell_entry(entry: Entry, approved: Approved | None) -> None:
    change = entry.change
    _say(f"{entry.sequence:4} {_minute(change.time)}  {told(change)}, verdict {change.verdict}")
    _tell_people(change, approved)


def _tell_move(change: Change, approved: Approved | None) -> None:
    _say(f"{_minute(change.time)}  {told(change)}")
    _tell_people(change, approved)


def _tell_people(change: Change, approved: Approved | None) -> None:
    if change.asked_by or change.reason:
        _say(f"       asked by {change.asked_by or 'nobody who said so'}{': ' if change.reason else ''}{change.reason}")
    if approved:
        _say(f"       approved by {approved.by}{': ' if approved.note else ''}{approved.note}")


def _reign_row(reign: Reign) -> tuple[str, ...]:
    until = _minute(reign.until) if reign.until else "now"
    return reign.alias, str(reign.version), _minute(reign.since), until


def _print_criteria(criteria: Sequence[CriterionResult]) -> None:
    lines = [
        (
            label(each.name),
            text.number(each.value),
            text.number_beside(each.bound, each.budget),
            text.limit(each),
            "pass" if each.passed else "fail",
        )
        for each in criteria
    ]
    _print_table("What the gate measured", ("criterion", "value", "bound", "budget", "result"), lines)
    for each in criteria:
        if not each.passed:
            _say(f"{label(each.name)}: {each.reason}")


def _why_value(found: Why) -> dict[str, Any]:
    record = found.run.record
    return {
        "name": record.model_name,
        "version": record.model_version,
        "variant": found.run.variant.sha256,
        "source": found.run.chain.checkpoint.sha256,
        "record": found.run.sha256,
        "verdict": found.verdict.id,
        "approved": found.verdict.approved,
        "criteria": [vars(criterion) for criterion in found.verdict.criteria],
        "method": found.plan.method,
        "healing": found.healing,
        "stack": found.plan.stack,
        "removed": [asdict(block) for block in found.blocks],
        "kept": list(found.plan.kept),
        "moves": [asdict(move) for move in found.moves],
    }


def _side_value(one: Side) -> dict[str, Any]:
    plan = one.why.plan
    return {
        "title": one.title,
        "variant": one.why.run.variant.sha256,
        "source": one.source,
        "method": plan.method,
        "healing": one.why.healing,
        "stack": plan.stack,
        "num_blocks": plan.num_blocks,
        "removed": list(plan.removed),
        "kept": list(one.kept),
    }


def _block_rows(first: Side, second: Side) -> list[tuple[str, ...]]:
    both = (first, second)
    return [
        ("chosen by", *(one.why.plan.method for one in both)),
        ("healing", *(one.why.healing for one in both)),
        ("removed", *(_blocks(one.why.plan.removed) for one in both)),
        ("kept", *(_blocks(one.kept) for one in both)),
        ("kept only here", _blocks(set(first.kept) - set(second.kept)), _blocks(set(second.kept) - set(first.kept))),
    ]


def _figures(one: Side) -> dict[str, Any]:
    """What was measured, and each criterion's value with its bound."""
    criteria = one.why.verdict.criteria
    judged = {f"{label(each.name)}, {end}": getattr(each, end) for each in criteria for end in ("value", "bound")}
    return one.figures | judged


def _beside(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What two have by each name that either has."""
    return {name: (first.get(name), second.get(name)) for name in dict.fromkeys((*first, *second))}


def _blocks(blocks: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(blocks))) or "-"


def _affected_row(one: Affected) -> tuple[str, ...]:
    version = str(one.version) if one.version else "rejected"
    return one.name, version, ", ".join(one.aliases), ", ".join(one.roles), ", ".join(one.through)


def _value(value: Any) -> str:
    return text.number(value) if isinstance(value, float) or value is None else str(value)


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _say(line: str) -> None:
    Console(highlight=False).print(Text(text.printable(line)), soft_wrap=True)


def _print_table(title: str, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    table = make_table(title, *columns)
    for line in lines:
        add_row(table, *line)
    Console(highlight=False).print(table)
