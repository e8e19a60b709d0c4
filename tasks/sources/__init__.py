"""What a person names as a source -> a checkpoint folder or GGUF file on the local disk.

Models on the hub have a commit first, and are brought here only if the store does not have it: `tasks.sources.hub`.
"""

import re
from pathlib import Path

from lorp.errors import SourceError
from lorp.gguf import is_gguf

_ON_THE_HUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9._/-]+)?")


def local_source(source: str, tracking_uri: str | None = None) -> Path:
    """Where a source that is not on the hub lies on the local disk, once it is brought there.

    Args:
        source: A path, `s3://bucket/prefix`, or `mlflow:models:/name@alias`.
        tracking_uri: MLflow's, for the last.

    Raises:
        SourceError: There is no such source.
        IntegrityError: It is not what was registered.
        OutageError: It does not answer.
    """
    if source.startswith("s3://"):
        from tasks.sources.bucket import bucket_source

        return bucket_source(source)
    if source.startswith("mlflow:"):
        from tasks.sources.registered import registered_source

        return registered_source(source, tracking_uri)
    return _existing(source)


def registered_licence(source: str, tracking_uri: str | None = None) -> str | None:
    """The licence that a registered version says it has; None for sources of other kinds. Raises as `local_source`."""
    if not source.startswith("mlflow:"):
        return None
    from tasks.sources.registered import find_version
    from tasks.workspace import workspace

    return find_version(source, tracking_uri or workspace().tracking_uri).licence


def _existing(source: str) -> Path:
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise SourceError(f"there is no {source}", _remedy(source))
    if path.is_dir() or is_gguf(path):
        return path
    raise SourceError(f"{source} is neither a folder nor a GGUF file", "Give a checkpoint folder or a GGUF file")


def _remedy(source: str) -> str:
    kinds = "a checkpoint folder, a GGUF file, hf://org/name, s3://bucket/prefix or mlflow:models:/name@alias"
    on_the_hub = f"hf://{source} for the model on the hub, or else " if _ON_THE_HUB.fullmatch(source) else ""
    return f"Give {on_the_hub}{kinds}"
