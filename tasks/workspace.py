"""Where a job keeps its things: the object store and the model registry."""

import re
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict

from lorp.errors import SpecError, StoreError
from tasks.settings import settings

#: Options of a database's address that name who opens it.
_SECRET = {"user", "username", "password", "passwd", "passfile", "sslpassword"}


HOME_VARIABLE = "LORP_HOME"


class Workspace(BaseModel):
    """Addresses, none of which changes a result.

    Attributes:
        store: The object store: a folder's path, its `file://` address, or `s3://bucket/prefix`.
        tracking_uri: MLflow's tracking URI.
        artifacts: Where runs' files go for a tracking URI that does not say so itself (SQLite).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str
    tracking_uri: str
    artifacts: str | None = None

    @property
    def embedded(self) -> bool:
        """Whether the registry is the SQLite file under home, which is made when it is needed."""
        return self.tracking_uri == _embedded_tracking()


def home() -> Path:
    """The folder for whatever has no other place; `~/.lorp` unless set."""
    return settings().home.expanduser().absolute()


def make_home() -> None:
    """Makes home if it is not there.

    Raises:
        StoreError: It cannot be made or written.
    """
    try:
        home().mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=home()):
            pass
    except OSError as fault:
        raise StoreError(
            f"{home()} cannot be written: {fault.strerror}", f"Set {HOME_VARIABLE} to another folder"
        ) from None


def workspace(store: str | None = None, tracking_uri: str | None = None) -> Workspace:
    """The workspace: what is given, else what is set, else folders under home.

    Raises:
        SpecError: The tracking URI holds a password.
    """
    tracking = tracking_uri or settings().tracking_uri or _embedded_tracking()
    if _names_user(tracking):
        shown = re.sub(_user(tracking), "://", tracking.partition("?")[0])
        raise SpecError(
            f"the tracking URI {shown} names a user, and it would be in logs and records",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or for a database its own, such as PGPASSWORD",
        )
    local = tracking.startswith("sqlite:")
    return Workspace(
        store=store or settings().store or str(home() / "store"),
        tracking_uri=tracking,
        artifacts=(home() / "mlflow-artifacts").as_uri() if local else None,
    )


def _names_user(tracking: str) -> bool:
    """Whether an address has a user or a password in it, of a database in its options too."""
    if tracking.startswith(("sqlite", "file:")):
        return False
    address, _, options = tracking.partition("?")
    return bool(re.search(_user(tracking), address)) or bool(_SECRET & parse_qs(options, keep_blank_values=True).keys())


def _user(tracking: str) -> str:
    """A pattern of them: a database takes a password with a slash in it, where a path begins for others."""
    return "://[^/#]*@" if tracking.startswith("http") else "://.*@"


def _embedded_tracking() -> str:
    return f"sqlite:///{home() / 'mlflow.db'}"
