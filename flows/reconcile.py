"""Aliases put where the ledgers say they are: by hand, or on schedule."""

from dataclasses import asdict
from typing import Any, cast

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed

from flows.wording import reconcile_summary
from tasks import reconcile as reconciling
from tasks.cache import PLAIN_JSON
from tasks.vault import open_vault
from tasks.workspace import Workspace, workspace


@flow(name="reconcile", persist_result=True, result_serializer=PLAIN_JSON)
def reconcile(restore: bool = False, places: Workspace | None = None) -> State[Any]:
    """Mends aliases that a crash left behind the ledger, and tells which were moved by something else.

    Args:
        restore: Whether the latter are put back too.
        places: Where things are kept; the defaults of `tasks.workspace` unless given.

    Returns:
        Completed, named Reconciled, or Moved where an alias is not where the ledger says, or a name could not be
        looked at.

    Raises:
        LorpError: A fault.
    """
    places = places or workspace()
    reconciled = reconciling.reconcile(places, open_vault(places.store), restore)
    outcome = asdict(reconciled)
    for entry in outcome["found"]:
        if entry["cause"] == "moved":
            emit_event(
                event="lorp.alias.moved",
                resource={
                    "prefect.resource.id": f"lorp.model.{entry['name']}",
                    "prefect.resource.name": entry["name"],
                },
                payload=entry,
            )
    if reconciled.found:
        create_table_artifact(
            list(outcome["found"]), key="aliases", description="Aliases that were not where the ledger says"
        )
    return Completed(
        name="Reconciled" if reconciled.fine else "Moved", message=reconcile_summary(outcome), data=outcome
    )


def run_reconcile(restore: bool, places: Workspace) -> dict[str, Any]:
    """Runs the flow in this process; what was found."""
    return cast(dict[str, Any], reconcile(restore, places))
