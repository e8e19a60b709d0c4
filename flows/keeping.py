"""`lorp gc`: what nothing reaches is found, removed if that is asked for, and told."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from flows.terminal import shown_progress
from tasks.collecting import plan_collection, remove_unreached
from tasks.keeping import KINDS, Plan, Tally, Why, oldest_kept, tally
from tasks.store import existing_store
from tasks.store.protocol import Stored
from tasks.vault import Vault
from tasks.workspace import workspace

_WORDS: dict[Why, str] = {
    "ledger": "a ledger names it",
    "registry": "a registered version rests on it",
    "recent": "a run made or used it lately",
    "young": "it came or changed lately",
}


def collect(keep_days: int, delete: bool, store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Finds what may go, and removes it if that is asked for.

    Raises:
        StoreError: There is no such store.
        LorpError: As `tasks.collecting.plan_collection` does.
    """
    places = workspace(store, tracking_uri)
    vault = Vault(existing_store(places.store))
    # By this machine's clock or the store's own, whichever lets less go: one of them may be wrong.
    now = min(datetime.now(UTC), datetime.fromtimestamp(vault.store.clock(), UTC))
    with shown_progress():
        plan = plan_collection(places, vault, oldest_kept(now, keep_days))
        removed = remove_unreached(vault, plan) if delete else {}
    outcome = _outcome(plan, removed, delete)
    if as_json:
        typer.echo(json.dumps(outcome))
    else:
        _show(places.store, outcome)
    return 0


def _outcome(plan: Plan, removed: Mapping[str, Stored], delete: bool) -> dict[str, Any]:
    went = removed if delete else plan.doomed
    stays = {key: stored for key, stored in plan.stored.items() if key not in went}
    return {
        "deleted": delete,
        "before": plan.before.isoformat(timespec="seconds"),
        "removed": {kind: asdict(_of_kind(went, kind)) for kind in KINDS},
        "kept": {kind: asdict(_of_kind(stays, kind)) for kind in KINDS},
        "kept_because": {
            why: asdict(tally(plan.stored[key] for key, found in plan.kept.items() if found == why)) for why in _WORDS
        },
        "spared": len(plan.doomed) - len(removed) if delete else 0,
    }


def _of_kind(stored: Mapping[str, Stored], kind: str) -> Tally:
    return tally(found for key, found in stored.items() if key.startswith(f"{kind}/"))


def _show(store: str, outcome: Mapping[str, Any]) -> None:
    console, went = Console(highlight=False), "removed" if outcome["deleted"] else "would go"
    table = Table("kind", title=Text(store), title_justify="left", show_footer=True)
    kept, removed = outcome["kept"], outcome["removed"]
    for heading, counts in (("kept", kept), (went, removed)):
        total = _total(counts.values())
        table.add_column(heading, justify="right", footer=str(total["objects"]))
        table.add_column("", justify="right", footer=decimal(total["bytes"]))
    for kind in KINDS:
        if kept[kind]["objects"] or removed[kind]["objects"]:
            table.add_row(kind, *_cells(kept[kind]), *_cells(removed[kind]))
    console.print(table)
    console.print(Text(f"What is younger than {outcome['before'][:16].replace('T', ' ')} UTC stays. Kept because"))
    for why, words in _WORDS.items():
        count = outcome["kept_because"][why]
        if count["objects"]:
            console.print(Text(f"  {words}: {count['objects']} objects, {decimal(count['bytes'])}"))
    console.print(Text(_ending(outcome)), soft_wrap=True)


def _ending(outcome: Mapping[str, Any]) -> str:
    if outcome["spared"]:
        return f"{outcome['spared']} objects have come into use meanwhile, or were gone already."
    if outcome["deleted"]:
        return "What nothing reaches was removed."
    doomed = _total(outcome["removed"].values())["objects"]
    return "Nothing was removed; lorp gc --delete removes what would go." if doomed else "Nothing would go."


def _cells(count: Mapping[str, int]) -> tuple[str, str]:
    return (str(count["objects"]), decimal(count["bytes"])) if count["objects"] else ("-", "")


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    each = list(counts)
    return {name: sum(count[name] for count in each) for name in ("objects", "bytes")}
