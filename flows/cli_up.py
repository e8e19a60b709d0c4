"""The command `lorp up`."""

from pathlib import Path
from typing import Annotated

import typer

from flows import arguments
from flows.options import make

installation = typer.Typer()


@installation.command()
def up(
    host: Annotated[str, typer.Option(help="The interface that the servers listen on.")] = "127.0.0.1",
    prefect_port: Annotated[int, typer.Option(help="Of Prefect's server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Of MLflow's server.")] = 5000,
    workers: Annotated[int, typer.Option(help="How many workers run what is deployed.")] = 1,
    database_url: Annotated[
        str | None,
        typer.Option(help="postgresql://user@host/name for both servers, password in PGPASSWORD; SQLite unless given."),
    ] = None,
    deployments: Annotated[
        Path | None, typer.Option(help="A prefect.yaml in a checkout of lorp; the one there unless given.")
    ] = None,
    store: arguments.Store = None,
) -> int:
    """Run a whole installation on this machine: Prefect, MLflow, all deployments, workers. Ctrl-C stops it.

    Exit status: 0 stopped, or up already; 2 bad input, 1 a fault, or another process is starting or stopping it.

    Example: `lorp up --workers 2`
    """
    from flows.installation.services import UpSpec
    from flows.up import run_up

    given = {"deployments": deployments} if deployments else {}
    asked = make(
        UpSpec,
        host=host,
        prefect_port=prefect_port,
        mlflow_port=mlflow_port,
        workers=workers,
        database_url=database_url,
        **given,
    )
    return run_up(asked, store)
