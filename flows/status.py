"""`lorp status`: what is running and waiting, the newest verdicts, what is in production, on one screen."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from flows.status_tables import show
from lorp.errors import LorpError, SpecError
from lorp.spec import MODEL_NAME
from tasks.standing import NameSeen, VerdictSeen, production, verdicts
from tasks.vault import vault_to_read
from tasks.workspace import Workspace, workspace

if TYPE_CHECKING:
    from flows.running import Running

_FAULT = 1
_NUM_ENTRIES = 5

Part = TypeVar("Part")


@dataclass(kw_only=True)
class Status:
    """All that is shown.

    Attributes:
        places: Where store and registry are.
        prefect: What Prefect's server knows; None without one.
        verdicts: The newest, newest first.
        production: Names, with aliases and history.
        faults: Why a part could not be asked, by part.
    """

    places: Workspace
    prefect: "Running | None" = None
    verdicts: list[VerdictSeen] = field(default_factory=list)
    production: list[NameSeen] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


def show_status(name: str | None, runs: int, store: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Looks and shows; 0, or 1 if something could not be asked. Nothing is made or changed.

    Raises:
        SpecError: Nothing is known of that name.
        StoreError: The store cannot be used.
    """
    if name and not re.fullmatch(MODEL_NAME, name):
        raise SpecError(f"{name} is no model's name", "lorp status without a name shows which there are")
    status = _look(workspace(store, tracking_uri), name, runs)
    if name and not (status.verdicts or status.production or status.faults):
        raise SpecError(f"nothing is known of {name}", "lorp status without a name shows which there are")
    if as_json:
        typer.echo(json.dumps(_as_json(status)))
    else:
        show(status.places, status.prefect, status.verdicts, status.production, status.faults)
    broken = [found.name for found in status.production if found.fault]
    return _FAULT if status.faults or broken else 0


def _look(places: Workspace, name: str | None, runs: int) -> Status:
    status = Status(places=places)

    def ask(part: str, look: Callable[[], Part], otherwise: Part) -> Part:
        try:
            return look()
        except LorpError as fault:
            status.faults[part] = str(fault)
            return otherwise

    status.prefect = ask("prefect", _prefect, None)
    status.verdicts = ask("verdicts", lambda: verdicts(places, name, runs), [])
    status.production = ask(
        "production", lambda: production(places, vault_to_read(places.store), name, _NUM_ENTRIES), []
    )
    return status


def _prefect() -> "Running | None":
    from flows.running import running

    return running(datetime.now(UTC))


def _as_json(status: Status) -> dict[str, Any]:
    return {
        "store": status.places.store,
        "tracking_uri": status.places.tracking_uri,
        "prefect": asdict(status.prefect) if status.prefect else None,
        "verdicts": [asdict(verdict) for verdict in status.verdicts],
        "production": [asdict(name) for name in status.production],
        "faults": status.faults,
    }
