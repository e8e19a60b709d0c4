"""`s3://bucket/prefix` -> a local copy of the checkpoint's files that lie there, kept under home."""

import re
from pathlib import Path
from typing import Any

from lorp.checkpoint import INDEX
from lorp.config_file import MAX_JSON_BYTES, read_json
from lorp.errors import SourceError, StoreError
from lorp.licence import CARD
from tasks.sources.names import checkpoint_names
from tasks.store.protocol import KEY
from tasks.store.s3 import S3Store
from tasks.store.s3_address import S3Address

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


def bucket_source(source: str) -> Path:
    """A folder with the checkpoint's files; those that are here already and have not changed stay.

    Raises:
        SourceError: There is no such bucket or checkpoint, or no permission.
        UnsafeCheckpointError: The weights are pickled, or their names lead elsewhere.
        OutageError: The bucket does not answer.
    """
    store = open_source(source)
    sizes = store.sizes()
    names = checkpoint_names(source, sizes, lambda: read_index(source, store, sizes[INDEX]))
    return store.local_files([*names, *({CARD} & sizes.keys())])  # the card names the licence


def bucket_folder(source: str) -> Path:
    """A folder with every file that lies at an address. Raises as `bucket_source` does."""
    store = open_source(source)
    names = [name for name in store.sizes() if KEY.fullmatch(name)]
    if not names:
        raise SourceError(f"there is nothing at {source}", "Give another address")
    return store.local_files(names)


def open_source(source: str) -> S3Store:
    """The store whose prefix is the folder: others may have named it as S3 allows."""
    match = _ADDRESS.fullmatch(source)
    prefix = (match["prefix"] or "").rstrip("/") if match else ""
    if match and not prefix:
        raise SourceError(f"{source} is a whole bucket", "Give the folder in it, such as s3://bucket/my-model")
    if not match or not all(part.isprintable() and part not in ("", ".", "..") for part in prefix.split("/")):
        raise SourceError(f"{source} is no address in S3", "Give one such as s3://bucket/my-model")
    try:
        return S3Store(S3Address(bucket=match["bucket"], prefix=prefix))
    except StoreError as fault:
        raise SourceError(fault.reason, fault.remedy) from None


def read_index(source: str, store: S3Store, size: int) -> dict[str, Any]:
    """The index of a checkpoint's weights, unless it is too large to be one.

    Raises:
        SourceError: It is, or it cannot be read.
    """
    if size > MAX_JSON_BYTES:
        raise SourceError(f"{INDEX} of {source} is too large: {size} bytes", "Give another address")
    return read_json(store.local(INDEX))
