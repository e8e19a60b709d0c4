"""Who may use an installation that other machines reach: the same names and passwords that clients are set to give."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx

from lorp.errors import OutageError, SpecError

_PREFECT, _MLFLOW_NAME, _MLFLOW_PASSWORD = (
    "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD",
)  # fmt: skip
#: What every client of an open installation has to be set to.
CLIENT_SETTINGS = (_PREFECT, _MLFLOW_NAME, _MLFLOW_PASSWORD)
_MLFLOW_LEAST = 12
_SECONDS = 30
#: Who may use MLflow's server.
USERS = "mlflow-users.db"

_RULES = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{database}
admin_username = admin
"""

Login = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Logins:
    """Names and passwords of both servers."""

    prefect: Login
    mlflow: Login

    @property
    def prefect_settings(self) -> dict[str, str]:
        """What makes Prefect's server ask."""
        return {"PREFECT_SERVER_API_AUTH_STRING": ":".join(self.prefect)}

    def mlflow_settings(self, home: Path) -> dict[str, str]:
        """What makes MLflow's server ask; its users beyond the first are its own affair, in a database under home."""
        rules = home / "installation" / "mlflow-auth.ini"
        rules.parent.mkdir(parents=True, exist_ok=True)
        rules.write_text(_RULES.format(database=home / USERS))
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(rules),
            "MLFLOW_AUTH_ADMIN_USERNAME": self.mlflow[0],
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.mlflow[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        }


def logins(environment: Mapping[str, str]) -> Logins:
    """Those that the environment gives.

    Raises:
        SpecError: One is missing or cannot be used, or MLflow lacks the package with which it asks.
    """
    missing = [name for name in CLIENT_SETTINGS if not environment.get(name)]
    if missing:
        raise SpecError(
            f"other machines would reach both servers, and {', '.join(missing)} are not set: nobody would be asked for "
            "a password",
            f"Set {', '.join(CLIENT_SETTINGS)}, here and where the servers are used, or leave --host out",
        )
    prefect = prefect_login(environment)
    if prefect is None or not all(prefect):
        raise SpecError(f"{_PREFECT} is no name and password", "Give it as name:password")
    if len(environment[_MLFLOW_PASSWORD]) < _MLFLOW_LEAST:
        raise SpecError(f"{_MLFLOW_PASSWORD} is too short for MLflow", f"Give at least {_MLFLOW_LEAST} characters")
    if find_spec("flask_wtf") is None:
        raise SpecError("MLflow asks for no password without its package Flask-WTF", "Run: pip install 'lorp[auth]'")
    return Logins(prefect=prefect, mlflow=(environment[_MLFLOW_NAME], environment[_MLFLOW_PASSWORD]))


def check_mlflow_login(address: str, environment: Mapping[str, str]) -> None:
    """Asks MLflow's server something, by the login that clients give.

    Raises:
        SpecError: It was first started with another password, which it keeps.
        OutageError: It does not answer.
    """
    login = environment[_MLFLOW_NAME], environment[_MLFLOW_PASSWORD]
    try:
        answer = httpx.get(f"{address}/api/2.0/mlflow/registered-models/search", auth=login, timeout=_SECONDS)
    except httpx.HTTPError as fault:
        raise OutageError(f"MLflow's server does not answer: {fault}", "Look at its log, and start again") from None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise SpecError(
            f"MLflow's server knows {login[0]} by another password than {_MLFLOW_PASSWORD}, or not at all",
            f"Set the name and password that it was first started with, or remove {USERS} under LORP_HOME, "
            "which holds its users",
        )


def prefect_login(environment: Mapping[str, str]) -> Login | None:
    """What clients of Prefect give, if they are set to."""
    name, colon, password = environment.get(_PREFECT, "").partition(":")
    return (name, password) if colon else None
