"""What a person names as a source -> a checkpoint folder or GGUF file on the local disk.

Models on the hub have a commit first, and are brought here only if the store does not have it: `tasks.sources.hub`.
"""

from pathlib import Path

from lorp.errors import SourceError
from lorp.gguf import is_gguf


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


def _existing(source: str) -> Path:
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise SourceError(f"there is no {source}", "Give a checkpoint folder or a GGUF file")
    if path.is_dir() or is_gguf(path):
        return path
    raise SourceError(f"{source} is neither a folder nor a GGUF file", "Give a checkpoint folder or a GGUF file")
