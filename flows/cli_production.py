"""The commands about what is in production: `lorp promote`, `rollback`, `pull`, `reconcile`."""

from pathlib import Path
from typing import Annotated

import typer

from flows import arguments
from flows.options import make, parse_version, read_policy

production = typer.Typer()

_ALIAS = "production"

_Name = Annotated[str, typer.Argument(help="The registered model.", metavar="NAME")]
_To = Annotated[str, typer.Option(help="The alias that is moved.")]
_By = Annotated[str | None, typer.Option(help="Who asks, for the ledger; your login name unless given.")]
_Reason = Annotated[str, typer.Option(help="Why, for the ledger.")]


@production.command()
def promote(
    name: _Name,
    version: Annotated[
        str, typer.Option(help="A version's number, or candidate: the newest that was registered.")
    ] = "candidate",
    to: _To = _ALIAS,
    policy: Annotated[
        Path | None, typer.Option(help="A YAML file with the conditions; those of docs/production.md unless given.")
    ] = None,
    by: _By = None,
    reason: _Reason = "",
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Move an alias to an approved version, if the policy allows it.

    Exit status: 0 promoted, or there already; 3 refused, 2 bad input, 1 a fault.

    Example: `lorp promote smollm2-lorp --policy policy.yaml`
    """
    from flows.production import promote_version
    from flows.promote import PromotionSpec

    spec = make(
        PromotionSpec,
        name=name,
        version=parse_version(version),
        to=to,
        asked_by=by,
        reason=reason,
    )
    return promote_version(spec, read_policy(policy) if policy else None, store, tracking_uri, as_json)


@production.command()
def rollback(
    name: _Name,
    version: Annotated[
        int | None, typer.Option(help="A version that was there before; the one before, unless given.")
    ] = None,
    to: _To = _ALIAS,
    by: _By = None,
    reason: _Reason = "",
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Move an alias back to a version that it stood for before; nothing is deleted.

    Example: `lorp rollback smollm2-lorp --reason "answers in the wrong language"`
    """
    from flows.production import roll_back
    from flows.rollback import RollbackSpec

    spec = make(RollbackSpec, name=name, version=version, to=to, asked_by=by, reason=reason)
    return roll_back(spec, store, tracking_uri, as_json)


@production.command()
def pull(
    address: Annotated[str, typer.Argument(help="NAME@production, any other alias, or NAME@3.", metavar="NAME@WHICH")],
    to: Annotated[Path, typer.Option(help="A folder that is not there yet, or holds this version already.")],
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Bring a version's files into a folder, every byte checked.

    Example: `lorp pull smollm2-lorp@production --to ./serving/model`
    """
    from flows.production import pull_version

    return pull_version(address, to, store, tracking_uri, as_json)


@production.command()
def reconcile(
    restore: Annotated[
        bool, typer.Option("--restore", help="Put back aliases that something else than lorp has moved.")
    ] = False,
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Mend aliases that a crash left behind the ledger, and tell which were moved by something else.

    Runs of deployments that died half an hour ago are ended on Prefect's server.

    Exit status: 0 all are where the ledgers say, 3 some are not.

    Example: `lorp reconcile`
    """
    from flows.production import reconcile_aliases

    return reconcile_aliases(restore, store, tracking_uri, as_json)
