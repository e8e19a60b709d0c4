"""Every effect that a process has on the outside world, in order; a kill before any of them."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

#: Calls of MLflow's client that change something.
REGISTRY = (
    "create_experiment", "create_run", "log_batch", "log_inputs", "log_artifact", "log_text", "set_terminated",
    "create_registered_model", "create_model_version", "set_registered_model_alias", "set_model_version_tag",
    "delete_registered_model_alias", "delete_run", "delete_model_version",
)  # fmt: skip
#: Calls of S3 that only look.
_LOOKING = ("get_", "head_", "list_")
#: Folders of several files, one of which is like the other.
_MANY_FILES = (" variants", " checkpoints")
_TURNS = 3


class Effects:
    """Names effects as they come; kills the process before one of them.

    Attributes:
        names: Of the effects so far: `link stages`, `put_object values`, `create_run`.
    """

    def __init__(self, kill_before: int | None = None) -> None:
        self.names: list[str] = []
        self._kill_before = kill_before

    def watch(self) -> None:
        """Begins; there is no end but the process's."""
        from mlflow import MlflowClient

        from tasks.store.s3_bucket import Bucket

        self._wrap(os, "link", lambda _, target: f"link {_kind(target)}")
        for name in ("replace", "rename"):  # those of paths call these
            self._wrap(os, name, lambda _, target, **__: _rename(target))
        self._wrap(Path, "unlink", lambda path, **_: f"unlink {_kind(path)}" if "/store/" in str(path) else None)
        self._wrap(Bucket, "call", lambda _, operation, **named: _call(operation, named))
        self._wrap(Bucket, "copy", lambda _, __, to, etag: f"copy {_kind(to)}")
        for name in REGISTRY:
            self._wrap(MlflowClient, name, lambda *_, call=name, **__: call)

    def _wrap(self, target: Any, name: str, named: Callable[..., str | None]) -> None:
        original = getattr(target, name)

        def replaced(*arguments: Any, **options: Any) -> Any:
            effect = named(*arguments, **options)
            if effect is not None:
                if len(self.names) == self._kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.names.append(effect)
            return original(*arguments, **options)

        setattr(target, name, replaced)


def _call(operation: str, named: dict[str, Any]) -> str | None:
    return None if operation.startswith(_LOOKING) else f"{operation} {_kind(named.get('Key', ''))}"


def points(effects: Sequence[str], trial: int, is_slice: bool) -> Iterator[int]:
    """Before which effects there is to be a kill: before each, but that files of one folder take turns from one trial
    to the next, and so do renamed ones; in a slice before one of thirteen."""
    if is_slice:
        yield from range(0, len(effects), 13)
        return
    met: Counter[str] = Counter()
    for point, effect in enumerate(effects):
        takes_turns = effect.startswith("rename ") or effect.endswith(_MANY_FILES)
        if not takes_turns or met[effect] % _TURNS == trial % _TURNS:
            yield point
        met[effect] += 1


def _rename(target: object) -> str | None:
    """Of files below the home: its store, notes and copies of what is in a bucket."""
    path = Path(os.fsdecode(target))  # type: ignore[arg-type]
    return f"rename {_kind(path)}" if path.is_relative_to(os.environ["LORP_HOME"]) else None


def _kind(place: object) -> str:
    """Kind of what lies at a place in a store: its folder."""
    parts = Path(str(place)).parts
    kinds = (
        "checkpoints", "variants", "patches", "captures", "values", "stages", "ledger", "claims", "quarantine",
        "corpora", "signatures", ".scratch",
    )  # fmt: skip
    return next((part for part in parts if part in kinds), "/".join(parts[-2:-1]))
