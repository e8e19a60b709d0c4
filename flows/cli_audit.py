"""The commands of who has to know what is in production, and why: `lorp audit`, `ledger`, `history`, `why` ..."""

from pathlib import Path
from typing import Annotated

import typer

from flows import arguments

auditing = typer.Typer()
ledgers = typer.Typer(help="Ledgers of registered models: every version, promotion and rollback, chained by digest.")
auditing.add_typer(ledgers, name="ledger")

_WHICH = "NAME@production or any other alias, NAME@3, the digest of a variant or of a record"
_Version = Annotated[str, typer.Argument(help=f"{_WHICH}.", metavar="NAME@WHICH")]


@auditing.command()
def audit(
    target: Annotated[
        str | None,
        typer.Argument(help=f"{_WHICH}; NAME for its whole ledger, or a variant's address.", metavar="TARGET"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every ledger, and every object in the store.")] = False,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Capture, cut and evaluate again too, from the source checkpoint."),
    ] = False,
    since: Annotated[
        Path | None, typer.Option(help="Heads that lorp ledger head wrote: ledgers must go on from them.")
    ] = None,
    trusted_key: Annotated[
        list[Path] | None,
        typer.Option(help="A public key, PEM; records and ledgers must be signed with one that is given. Repeatable."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a dossier, one page that needs no server, here.")] = None,
    registry: Annotated[
        bool, typer.Option("--registry/--no-registry", help="Whether to hold MLflow's aliases against the ledgers.")
    ] = True,
    store: arguments.Store = None,
    tracking_uri: arguments.TrackingUri = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Verify what a version rests on: every byte, signature and link, and that one thing follows from another.

    It needs the store alone, and changes nothing. Exit status: 0 all of it holds, 4 something does not, 2 bad input,
    1 a fault.

    Example: `lorp audit smollm2-lorp@production --html dossier.html`
    """
    from flows.auditing import Wanted, run_audit

    wanted = Wanted(
        target=target,
        everything=everything,
        replay=replay,
        since=since,
        trusted_keys=tuple(trusted_key or ()),
        html=html,
        registry=registry,
    )
    return run_audit(wanted, store, tracking_uri, as_json)


@ledgers.command()
def head(
    name: Annotated[
        str | None, typer.Argument(help="Of this registered model only; of all unless given.", metavar="NAME")
    ] = None,
    store: arguments.Store = None,
) -> int:
    """Print where each ledger ends, as JSON: kept elsewhere, `lorp audit --since` finds what was cut off or rewritten.

    Example: `lorp ledger head > heads.json`
    """
    from flows.auditing import show_heads

    return show_heads(name, store)


@auditing.command()
def history(
    name: Annotated[str, typer.Argument(help="The registered model.", metavar="NAME")],
    store: arguments.Store = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Tell what was registered, rejected and in production when, who asked, and on which verdict.

    Example: `lorp history smollm2-lorp`
    """
    from flows.answers import show_history

    return show_history(name, store, as_json)


@auditing.command()
def why(version: _Version, store: arguments.Store = None, as_json: arguments.AsJson = False) -> int:
    """Tell why a version is as it is: what the gate measured, and for each removed block what spoke for it.

    Example: `lorp why smollm2-lorp@production`
    """
    from flows.answers import show_why

    return show_why(version, store, as_json)


@auditing.command()
def diff(one: _Version, other: _Version, store: arguments.Store = None, as_json: arguments.AsJson = False) -> int:
    """Compare two versions: what was asked, which blocks stayed, what was measured.

    Example: `lorp diff smollm2-lorp@3 smollm2-lorp@production`
    """
    from flows.answers import show_diff

    return show_diff(one, other, store, as_json)


@auditing.command()
def affected(
    digest: Annotated[
        str,
        typer.Argument(
            help="sha256 of a checkpoint, of documents (documentsSha256 in a record) or of anything else stored, or a "
            "commit on the hub.",
            metavar="DIGEST",
        ),
    ],
    store: arguments.Store = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Find everything that was made from a checkpoint or a text, and where it is in use.

    Exit status: 0 also if nothing was; 4 if a record cannot be read, 2 for what is no digest.

    Example: `lorp affected 3f5a...`
    """
    from flows.answers import show_affected

    return show_affected(digest, store, as_json)
