"""Where the two servers keep what they know: SQLite files under home, or two databases of a PostgreSQL server."""

from pathlib import Path

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError, SQLAlchemyError

from lorp.errors import OutageError, SpecError


def database_urls(database_url: str | None, home: Path) -> tuple[str, str]:
    """Addresses of Prefect's and of MLflow's database, for each one's own driver.

    Both keep their schema's version in a table of one name, so that one database does not do for the two: those of
    `postgresql://.../lorp` are `lorp_prefect` and `lorp_mlflow`, which are made if they are not there.

    Raises:
        SpecError: The address is none of PostgreSQL, or holds a password or options.
        OutageError: The server does not answer, or does not let them be made.
    """
    if database_url is None:
        return f"sqlite+aiosqlite:///{home / 'prefect' / 'prefect.db'}", f"sqlite:///{home / 'mlflow.db'}"
    url = _parse(database_url)
    names = [f"{url.database}_{owner}" for owner in ("prefect", "mlflow")]
    _make(url, names)
    drivers = ("postgresql+asyncpg", "postgresql+psycopg2")
    prefect, mlflow = (
        url.set(drivername=driver, database=name).render_as_string(hide_password=False)
        for driver, name in zip(drivers, names, strict=True)
    )
    return prefect, mlflow


def _parse(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise SpecError("--database-url is no address", "Give one such as postgresql://lorp@localhost/lorp") from None
    if url.password:
        raise SpecError(
            "--database-url holds a password, which everyone on this machine could read", "Set PGPASSWORD instead"
        )
    if url.query:
        raise SpecError(
            "--database-url has options after its ?",
            "Leave them out, and set PGPASSWORD, PGSSLMODE and their like instead",
        )
    if url.get_backend_name() != "postgresql" or not url.database:
        raise SpecError(
            f"--database-url {database_url} names no database of PostgreSQL",
            "Give one such as postgresql://lorp@localhost/lorp, or leave it out for SQLite",
        )
    return url


def _make(url: URL, names: list[str]) -> None:
    """Makes databases that are not there."""
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg2", database="postgres"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            there = set(connection.scalars(text("SELECT datname FROM pg_database")))
            for name in names:
                if name not in there:
                    quoted = engine.dialect.identifier_preparer.quote_identifier(name)
                    connection.execute(text(f"CREATE DATABASE {quoted}"))
    except ModuleNotFoundError:
        raise SpecError("psycopg2, PostgreSQL's driver, is not installed", "pip install 'lorp[postgresql]'") from None
    except (OperationalError, ProgrammingError) as fault:
        reason = str(fault.orig).strip().splitlines()[0]
        raise OutageError(
            f"PostgreSQL does not do as asked: {reason}", "Look at --database-url and PGPASSWORD"
        ) from None
    except SQLAlchemyError as fault:
        raise OutageError(f"PostgreSQL cannot be used: {fault}", "Look at --database-url") from None
