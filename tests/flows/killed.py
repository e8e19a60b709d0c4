"""Runs the command line in a process that is killed at a named point: `python killed.py POINT ARGUMENTS...`."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from flows.cli import run


def kill(*_: object, **__: object) -> None:
    """What a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(target: object, name: str, condition: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Kills before a call that meets the condition."""
    original = getattr(target, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        if condition(*arguments, **named):
            kill()
        return original(*arguments, **named)

    setattr(target, name, replaced)


def arm(point: str) -> None:
    """Sets a point.

    `STAGE`: its outputs stored, its manifest not; `half:FOLDER`: some objects of that folder stored; `registry:CALL`:
    before a call of MLflow's client.
    """
    from mlflow import MlflowClient

    from tasks.store import FolderStore
    from tasks.vault import Vault

    kind, _, detail = point.partition(":")
    if kind == "registry":
        before(MlflowClient, detail)
    elif kind == "half":
        before(FolderStore, "create", lambda _, key, __: key.startswith(detail) and key.endswith(".safetensors"))
    else:
        before(Vault, "commit", lambda _, manifest: manifest.stage == kind)


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.exit(run(sys.argv[2:]))
