"""`lorp promote`, `rollback`, `reconcile` and `pull`: done, and what came of it shown."""

import getpass
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console

from flows.promote import PromotionSpec, run_promote
from flows.promotion import MoveSpec
from flows.reconcile import run_reconcile
from flows.rollback import RollbackSpec, run_rollback
from flows.tables import add_row, make_table
from flows.terminal import shown_progress
from flows.wording import promotion_summary, reconcile_summary, rollback_summary, rows
from lorp.promotion import PromotionPolicy
from tasks.pull import pull
from tasks.store import existing_store
from tasks.vault import Vault, open_vault
from tasks.workspace import Workspace, make_home, workspace

_REFUSED = 3

Asked = TypeVar("Asked", bound=MoveSpec)


def promote_version(
    asked: PromotionSpec,
    policy: PromotionPolicy | None,
    store: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Promotes; 0 if the alias stands for the version now, else 3.

    Raises:
        LorpError: As `flows.promote.promote` does.
    """
    places = _places(store, tracking_uri)
    with shown_progress(), redirect_stdout(sys.stderr):
        outcome = run_promote(_named(asked), policy or PromotionPolicy(), places)
    if as_json:
        typer.echo(json.dumps(outcome))
    else:
        _show_conditions(outcome)
        typer.echo(f"{outcome['state'].lower()}: {promotion_summary(outcome)}")
    return _REFUSED if outcome["state"] == "Refused" else 0


def roll_back(asked: RollbackSpec, store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Rolls back.

    Raises:
        LorpError: As `flows.rollback.rollback` does.
    """
    places = _places(store, tracking_uri)
    with shown_progress(), redirect_stdout(sys.stderr):
        outcome = run_rollback(_named(asked), places)
    typer.echo(json.dumps(outcome) if as_json else rollback_summary(outcome))
    return 0


def reconcile_aliases(restore: bool, store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Reconciles; 0 if all aliases are where the ledgers say, else 3.

    Raises:
        LorpError: As `flows.reconcile.reconcile` does.
    """
    places = _places(store, tracking_uri)
    with shown_progress(), redirect_stdout(sys.stderr):
        outcome = run_reconcile(restore, places)
    typer.echo(json.dumps(outcome) if as_json else reconcile_summary(outcome))
    return _REFUSED if outcome["faults"] or not all(found["mended"] for found in outcome["found"]) else 0


def pull_version(address: str, to: Path, store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Pulls; the store is only read.

    Raises:
        StoreError: There is no such store.
        LorpError: As `tasks.pull.pull` does.
    """
    places = workspace(store, tracking_uri)
    vault = Vault(existing_store(places.store), only_read=True)
    if places.embedded:
        make_home()
    with shown_progress():
        done = pull(places, vault, address, to.expanduser().absolute())
    said = f"version {done.version} of {done.name} is in {done.folder}: {done.bytes} bytes, sha256 {done.variant}"
    typer.echo(json.dumps(asdict(done)) if as_json else said)
    return 0


def _places(store: str | None, tracking_uri: str | None) -> Workspace:
    """Where things are, with a home if it is needed; a store that is not there is not made.

    Raises:
        StoreError: There is no such store, or it cannot be written.
    """
    places = workspace(store, tracking_uri)
    existing_store(places.store)
    open_vault(places.store)
    if places.embedded:
        make_home()
    return places


def _named(asked: Asked) -> Asked:
    """What is asked, by whoever is logged in unless they say otherwise."""
    if asked.asked_by:
        return asked
    try:
        return asked.model_copy(update={"asked_by": getpass.getuser()})
    except (OSError, KeyError):  # a user without a name, as in some containers
        return asked


def _show_conditions(outcome: Mapping[str, Any]) -> None:
    table = make_table(outcome["name"], "condition", "value", "bound", "budget", "result")
    for each in rows(outcome["conditions"]):
        add_row(table, *(each[column] for column in ("criterion", "value", "bound", "budget", "result")))
    Console(highlight=False).print(table)
