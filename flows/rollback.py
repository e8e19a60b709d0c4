"""Moving an alias back to a version that it stood for before: ledger, then alias; nothing is deleted."""

from typing import Annotated, Any, cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.promotion import MoveSpec, Registry, change_of
from flows.wording import rollback_summary
from lorp.errors import SpecError
from lorp.ledger import Change, Standing, standing
from tasks.aliases import check_known
from tasks.cache import PLAIN_JSON, outside
from tasks.ledger import read_ledger
from tasks.ledger_versions import read_version
from tasks.signing import signing_key
from tasks.workspace import Workspace, workspace


class RollbackSpec(MoveSpec):
    """A version to return to.

    Attributes:
        version: One that the alias stood for before; the one before unless given.
    """

    version: Annotated[int, Field(strict=True, ge=1)] | None = None


@flow(name="rollback", flow_run_name="{asked.name} {asked.to}", persist_result=True, result_serializer=PLAIN_JSON)
def rollback(asked: RollbackSpec, places: Workspace | None = None) -> State[Any]:
    """Moves an alias back.

    Args:
        asked: What is asked.
        places: Where things are kept; the defaults of `tasks.workspace` unless given.

    A rollback that was interrupted before the alias had moved is finished, and none further back is begun.

    Returns:
        Completed, named RolledBack; Finished where another's rollback is now whole, and its entry is told; or Unchanged
        where someone else has just gone back there.

    Raises:
        SpecError: There is nothing to return to.
        IntegrityError: The files of the version to return to are not what they were.
        LorpError: A fault.
    """
    signing_key()  # before anything is weighed, rather than after
    registry = Registry(places=places or workspace())
    mended = registry.mend(asked.name, asked.to)
    done = registry.own_entry(asked.name) or mended
    if done and done.change.act == "rolled-back" and asked.version in (None, done.change.version):
        own = done.change.flow_run == str(flow_run.id)
        outcome = _outcome(asked, "RolledBack" if own else "Finished", done.change.version, None, done.sequence)
        return Completed(name=outcome["state"], message=rollback_summary(outcome), data=outcome)
    now = standing(read_ledger(registry.vault, asked.name))
    version = target(now, asked)
    found = read_version(registry.vault, now, asked.name, version)
    check_known(registry.places, asked.name, found.change)
    registry.vault.folder(found.variant)
    outcome = go_back(registry, asked, now.now(asked.to), version)
    return Completed(name=outcome["state"], message=rollback_summary(outcome), data=outcome)


@outside("move", "move the alias")
def go_back(registry: Registry, asked: RollbackSpec, current: int | None, version: int) -> dict[str, Any]:
    """Moves the alias from the version that it stood for when this was asked; never further than that.

    Raises:
        SpecError: It stands for a third version by now.
    """

    def change(now: Standing) -> Change | None:
        found = now.now(asked.to)
        if found == version:
            return None
        if found != current:
            raise SpecError(
                f"{asked.name}@{asked.to} was moved to version {found} meanwhile", "Look at it, and roll back again"
            )
        return change_of(asked, now.versions[version], act="rolled-back")

    entry = registry.move(asked, "rolled-back", change)
    state = "RolledBack" if entry else "Unchanged"
    return _outcome(asked, state, version, current, entry.sequence if entry else None)


def _outcome(
    asked: RollbackSpec, state: str, version: int | None, before: int | None, entry: int | None
) -> dict[str, Any]:
    return {
        "run": str(flow_run.id),
        "state": state,
        "name": asked.name,
        "alias": asked.to,
        "version": version,
        "before": before,
        "entry": entry,
    }


def run_rollback(asked: RollbackSpec, places: Workspace) -> dict[str, Any]:
    """Runs the flow in this process; its outcome."""
    return cast(dict[str, Any], rollback(asked, places))


def target(now: Standing, asked: RollbackSpec) -> int:
    """The version to return to.

    Raises:
        SpecError: The alias never stood for it, or for nothing before, or stands for it now.
    """
    held = now.held.get(asked.to, ())
    earlier = ", ".join(map(str, sorted(set(held[:-1])))) or "none"
    if asked.version is not None and asked.version not in held[:-1]:
        raise SpecError(
            f"{asked.name}@{asked.to} cannot go back to version {asked.version}",
            f"It stood for these before: {earlier}. To go to another, promote it",
        )
    found = asked.version or now.before(asked.to)
    if found is None:
        raise SpecError(f"{asked.name}@{asked.to} has no version to go back to", "Promote another version")
    return found
