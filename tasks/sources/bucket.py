"""`s3://bucket/prefix` -> a local copy of the checkpoint's files that lie there, kept under home."""

import json
from pathlib import Path

from lorp.checkpoint import INDEX
from lorp.errors import SourceError, StoreError
from tasks.sources.names import checkpoint_names
from tasks.store.s3 import S3Store


def bucket_source(source: str) -> Path:
    """A folder with the checkpoint's files; those that are here already and have not changed stay.

    Raises:
        SourceError: There is no such bucket or checkpoint, or no permission.
        UnsafeCheckpointError: The weights are pickled, or their names lead elsewhere.
        OutageError: The bucket does not answer.
    """
    store, folder = _opened(source)
    names = [key.removeprefix(f"{folder}/") for key in store.keys(folder)]
    return store.local_files(folder, checkpoint_names(source, names, lambda: _index(store, folder)))


def bucket_folder(source: str) -> Path:
    """A folder with every file that lies at an address. Raises as `bucket_source` does."""
    store, folder = _opened(source)
    if not store.keys(folder):
        raise SourceError(f"there is nothing at {source}", "Give another address")
    return store.local(folder)


def _opened(source: str) -> tuple[S3Store, str]:
    """The store above the last part of an address, and that part."""
    parent, _, folder = source.rstrip("/").rpartition("/")
    if parent in ("s3:", "s3:/"):
        raise SourceError(f"{source} is a whole bucket", "Give the folder in it, such as s3://bucket/my-model")
    try:
        return S3Store(parent), folder
    except StoreError as fault:
        raise SourceError(fault.reason, fault.remedy) from None


def _index(store: S3Store, folder: str) -> dict[str, object]:
    try:
        value = json.loads(store.read(f"{folder}/{INDEX}"))
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}
