"""What promotion and rollback have in common: what is asked, and the order ledger, alias, news."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from prefect.events import emit_event
from prefect.runtime import flow_run
from pydantic import AfterValidator, Field

from lorp.ledger import Change, Entry, Standing, last_move
from lorp.spec import MODEL_NAME, Spec
from tasks.aliases import aliases, follow, left_behind
from tasks.ledger import read_ledger, record
from tasks.vault import Vault, open_vault
from tasks.workspace import Workspace

PRODUCTION = "production"


def _free(alias: str) -> str:
    if re.fullmatch(r"candidate|latest|v[0-9]+", alias, re.IGNORECASE):
        raise ValueError(f"{alias} is not an alias that people move")
    return alias


class MoveSpec(Spec):
    """Which alias is to be moved, and who asks for that.

    Attributes:
        name: The registered model.
        to: The alias; `candidate` is lorp's own, and MLflow keeps `latest` and `v1` to itself.
        asked_by: Who asks, as they say themselves.
        reason: Why, in their words.
    """

    name: str = Field(pattern=MODEL_NAME)
    to: Annotated[str, AfterValidator(_free)] = Field(PRODUCTION, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    asked_by: str = Field("", max_length=200)
    reason: str = Field("", max_length=2000)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Ledger and aliases of all names."""

    places: Workspace

    @property
    def vault(self) -> Vault:
        """Where the ledger is."""
        return open_vault(self.places.store)

    def mend(self, name: str, alias: str) -> Entry | None:
        """Moves an alias to where the ledger says if a crash left it behind; the entry that it had not followed."""
        registered = aliases(self.places, name)
        entries = read_ledger(self.vault, name)
        if not left_behind(entries, registered, alias):
            return None
        follow(self.places, self.vault, name, alias)
        return last_move(entries, alias)

    def move(self, asked: MoveSpec, event: str, decide: Callable[[Standing], Change | None]) -> Entry | None:
        """Writes what is decided into the ledger, then moves the alias, then tells; the entry, if this run wrote it.

        A crash in between leaves the alias behind the ledger: whatever moves an alias of this name next mends that. A
        run that begins again finds its own entry, and writes no second one.
        """
        own = self.own_entry(asked.name) or record(self.vault, asked.name, decide)
        follow(self.places, self.vault, asked.name, asked.to)
        if own:
            tell(event, own)
        return own

    def own_entry(self, name: str) -> Entry | None:
        """What this flow run has written into a ledger, if it has got so far before."""
        run = str(flow_run.id)
        return next((entry for entry in read_ledger(self.vault, name) if entry.change.flow_run == run), None)


def change_of(asked: MoveSpec, registered: Change, **named: Any) -> Change:
    """A move of an alias to a version, as the ledger records it."""
    return Change(
        version=registered.version,
        variant=registered.variant,
        verdict=registered.verdict,
        lineage=registered.lineage,
        alias=asked.to,
        asked_by=asked.asked_by,
        reason=asked.reason,
        flow_run=str(flow_run.id),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        **named,
    )


def tell(event: str, entry: Entry) -> None:
    """Emits an event, for automations: it rests on the entry and changes nothing."""
    change = entry.change
    emit_event(
        id=UUID(entry.sha256[:32]),
        event=f"lorp.variant.{event}",
        resource={"prefect.resource.id": f"lorp.model.{entry.name}", "prefect.resource.name": entry.name},
        payload={
            "name": entry.name,
            "version": change.version,
            "alias": change.alias,
            "verdict": change.verdict,
            "entry": entry.sequence,
            "entry_sha256": entry.sha256,
            "asked_by": change.asked_by,
            "reason": change.reason,
        },
    )
