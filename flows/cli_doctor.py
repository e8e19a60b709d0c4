"""`lorp doctor`: what is wrong with an installation."""

import typer

from flows import arguments

checkup = typer.Typer()


@checkup.command()
def doctor(
    store: arguments.Store = None, tracking_uri: arguments.TrackingUri = None, as_json: arguments.AsJson = False
) -> int:
    """Say what is wrong with this installation, and what to do about it; changes nothing.

    Looks at packages, settings, disks, store, ledgers and registry; with a Prefect server also at deployments, work
    pool, automations and runs.

    Exit status: 0 no fault, though there may be warnings; 1 a fault.

    Example: `lorp doctor`
    """
    from flows.doctor.command import examine_installation

    return examine_installation(store, tracking_uri, as_json)
