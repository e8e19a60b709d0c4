"""The commands of who looks after an installation: `lorp status` and `lorp gc`."""

from typing import Annotated

import typer

from flows import arguments

keeping = typer.Typer()

_CENTURY = 36_500


@keeping.command()
def gc(
    keep_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=_CENTURY,
            help="What was made or used in so many last days stays, with what that names; more than the longest run.",
        ),
    ] = 30,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it, instead of only saying what would go.")] = False,
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Remove from the store what no ledger, no registered version and no recent run reaches.

    Without `--delete` nothing is removed. Exit status: 0 done, 2 bad input, 1 a fault: then nothing was removed that is
    still needed, and the same command goes on.

    Example: `lorp gc --keep-days 90 --delete`
    """
    from flows.keeping import collect

    return collect(keep_days, delete, store, tracking_uri, as_json)


@keeping.command()
def status(
    name: Annotated[
        str | None, typer.Argument(help="Of this registered model only; of all unless given.", metavar="NAME")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=1000, help="How many verdicts, the newest.")] = 10,
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Show what is running and waiting, the newest verdicts, and what is in production. It changes nothing.

    Exit status: 0, 2 for an unknown name, 1 if store, registry or Prefect's server could not be asked.

    Example: `lorp status smollm2-lorp`
    """
    from flows.status import show_status

    return show_status(name, runs, store, tracking_uri, as_json)
