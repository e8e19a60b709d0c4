"""Aliases put where the ledgers say they are, and runs that died ended: by hand, or on schedule."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any, cast

import httpx
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed

from flows.lost_runs import end_lost_runs
from flows.wording import reconcile_summary
from lorp.errors import OutageError
from tasks import reconcile as reconciling
from tasks.cache import PLAIN_JSON
from tasks.vault import open_vault
from tasks.workspace import Workspace, workspace

#: The automations, or `lorp up`, are long done by then, unless their server was killed.
_LOST = timedelta(minutes=30)


@flow(name="reconcile", persist_result=True, result_serializer=PLAIN_JSON)
def reconcile(restore: bool = False, places: Workspace | None = None) -> State[Any]:
    """Mends aliases that a crash left behind the ledger, and tells which were moved by something else.

    Runs of the deployments that died half an hour ago are ended on the server, so that others get their slots.

    Args:
        restore: Whether aliases that something else has moved are put back too.
        places: Where things are kept; the defaults of `tasks.workspace` unless given.

    Returns:
        Completed, named Reconciled, or Moved where an alias is not where the ledger says, or a name could not be
        looked at.

    Raises:
        LorpError: A fault.
    """
    places = places or workspace()
    reconciled = reconciling.reconcile(places, open_vault(places.store), restore)
    outcome = asdict(reconciled) | {"runs": _end_lost_runs()}
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


def _end_lost_runs() -> list[str]:
    try:
        with get_client(sync_client=True) as client:

            def ask(path: str, asked: Any) -> httpx.Response:
                return client.request("POST", cast(Any, path), json=asked)

            return end_lost_runs(ask, _LOST, _LOST)
    except httpx.HTTPError as fault:
        raise OutageError(f"Prefect's server does not answer: {fault}", "Look at PREFECT_API_URL") from None


def run_reconcile(restore: bool, places: Workspace) -> dict[str, Any]:
    """Runs the flow in this process; what was found."""
    return cast(dict[str, Any], reconcile(restore, places))
