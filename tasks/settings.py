"""Settings of an installation, from the environment or else a `.env` file in the working folder.

What a job is comes from flags or else its YAML file, and these settings stand behind them. Secrets have no place here:
those of S3, MLflow, Prefect and the hub come through each one's own channels.
"""

import re
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lorp.errors import SpecError
from lorp.spec import DType

_THREADS = "threads"
_DASK = re.compile(r"dask://(?P<scheduler>[^\s/@]+:\d{1,5})")


class Settings(BaseSettings):
    """Each field is an environment variable of its name, in capitals and after `LORP_` unless it says otherwise.

    Attributes:
        home: Folder for whatever has no other place: the store, the registry's database, copies of remote objects.
        store: The object store; `home`/store unless given.
        tracking_uri: `MLFLOW_TRACKING_URI`: the model registry; SQLite under `home` unless given.
        device: Where forward passes run.
        dtype: Their precision.
        s3_deadline: Seconds for which a failing call of S3 is tried again.
        s3_lock_days: Days for which ledger entries are locked in a bucket whose object lock is on.
        claim_seconds: Seconds without a sign of life after which somebody else's registration is taken over.
        task_runner: Where stages run: `threads`, the flow's own; `dask://host:port`, the workers of that scheduler.
        signing_key: A private key, PEM, by which records and ledger entries are signed.
        debug: Whether an unforeseen error shows its traceback.
    """

    model_config = SettingsConfigDict(
        env_prefix="LORP_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Path("~/.lorp")
    store: str | None = None
    tracking_uri: str | None = Field(None, validation_alias="MLFLOW_TRACKING_URI")
    device: str = "cpu"
    dtype: DType = "float32"
    s3_deadline: float = Field(120.0, ge=0, allow_inf_nan=False)
    s3_lock_days: int = Field(3650, ge=1, le=36_500)
    claim_seconds: float = Field(60.0, gt=0, allow_inf_nan=False)
    task_runner: str = _THREADS
    signing_key: Path | None = None
    debug: bool = False

    @property
    def dask_scheduler(self) -> str | None:
        """The address of the Dask scheduler whose workers run stages; None where the flow's own thread does."""
        found = _DASK.fullmatch(self.task_runner)
        return f"tcp://{found['scheduler']}" if found else None

    @field_validator("task_runner")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != _THREADS and not _DASK.fullmatch(value):
            raise PydanticCustomError("task_runner", "give threads, or dask://host:port of a Dask scheduler")
        return value


def settings() -> Settings:
    """The settings as they are now; an empty value counts as none.

    Raises:
        SpecError: One of them cannot be used.
    """
    try:
        return Settings()
    except (ValidationError, UnicodeDecodeError, OSError) as fault:
        first = fault.errors()[0] if isinstance(fault, ValidationError) else {"loc": [".env"], "msg": str(fault)}
        name = str(first["loc"][0])
        shown = name if name in ("MLFLOW_TRACKING_URI", ".env") else f"LORP_{name.upper()}"
        raise SpecError(f"{shown} cannot be used: {first['msg']}", "Look at the environment and at .env") from None
