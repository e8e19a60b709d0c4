"""Processes of their own, each forked in a moment from a server that has imported everything and done nothing."""

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_IMPORTED = (
    "jobs", "effects", "checks", "torch", "transformers.models.llama.modeling_llama", "pyarrow.parquet",
    "sklearn.cluster", "boto3", "mlflow", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store", "lorp.report", "tasks.audit",
)  # fmt: skip
#: The deadline of a child, in seconds: far more than any takes.
PATIENCE = 300


@dataclass(frozen=True, kw_only=True)
class Child:
    """A running child."""

    process: ForkServerProcess
    said: Path

    def end(self, patience: float = PATIENCE) -> "Ended":
        """Waits for its end; one that does not end is killed, and that is an error."""
        self.process.join(patience)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"a child did not end in {patience} s")
        said = json.loads(self.said.read_text()) if self.said.exists() else {}
        self.said.unlink(missing_ok=True)
        return Ended(status=self.process.exitcode or 0, value=said.get("value"), fault=said.get("fault"))


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child ended.

    Attributes:
        status: Its exit status; that of a signal is negative.
        value: What its function returned.
        fault: Class, message and traceback of what it raised, if it did.
    """

    status: int
    value: Any
    fault: tuple[str, str, str] | None

    def whole(self) -> Any:
        """What its function returned.

        Raises:
            AssertionError: It did not.
        """
        assert self.status == 0, self.fault[2] if self.fault else f"it ended with {self.status}"
        return self.value


def barrier(parties: int) -> Barrier:
    """Where so many children wait for each other; to be given to them as an argument."""
    return _SERVER.Barrier(parties)


def child(act: Callable[..., Any], *arguments: Any, environment: Mapping[str, str | None]) -> Child:
    """Starts a function in a process of its own.

    Args:
        act: A function of a module; what it returns must be JSON.
        arguments: Its arguments.
        environment: What is set there beside what is set here; None unsets.
    """
    # Forked from what this process looked like at the first call: paths must be in place by then.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    _SERVER.set_forkserver_preload(list(_IMPORTED))
    whole = {**os.environ, **environment}
    handle, said = tempfile.mkstemp(prefix="lorp-child-")
    os.close(handle)
    Path(said).unlink()
    process = _SERVER.Process(target=_act, args=(act, arguments, whole, said))
    process.start()
    return Child(process=process, said=Path(said))


def _act(act: Callable[..., Any], arguments: tuple[Any, ...], environment: Mapping[str, str | None], said: str) -> None:
    os.environ.clear()
    os.environ.update({name: value for name, value in environment.items() if value is not None})
    os.setsid()
    try:
        value: dict[str, Any] = {"value": act(*arguments)}
    except BaseException as fault:
        kinds = [kind.__name__ for kind in type(fault).__mro__]
        value = {"fault": (",".join(kinds), str(fault), traceback.format_exc())}
    with contextlib.suppress(OSError):
        Path(said).write_text(json.dumps(value))
    sys.exit(1 if "fault" in value else 0)
