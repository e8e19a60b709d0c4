"""Object stores: keys -> bytes, created once and never overwritten.

`ObjectStore` is what every store does; `FolderStore` does it in a local folder, `S3Store` in a bucket. What the bytes
mean, and whether they are still what they were, is `tasks.vault`'s business.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lorp.errors import StoreError
from tasks.store.folder import FolderStore, folder_at
from tasks.store.protocol import ObjectStore

if TYPE_CHECKING:
    from tasks.store.s3 import S3Store

__all__ = ["FolderStore", "ObjectStore", "existing_store", "open_store", "store_folder", "store_to_read"]


def store_folder(uri: str) -> Path | None:
    """The folder of a store that is in one; None for a bucket.

    Raises:
        StoreError: The address is of another kind.
    """
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        return None
    if parts.scheme == "file":
        folder = folder_at(uri)
        if folder is None:
            raise StoreError(f"{uri} is no folder of this machine", "Give a path, or file:// and a whole path")
        return folder
    if parts.scheme and len(parts.scheme) > 1:
        raise StoreError(
            f"there is no store for {parts.scheme}:// addresses", "Give a folder or s3://bucket/prefix with --store"
        )
    return Path(uri)


def open_store(uri: str) -> ObjectStore:
    """The store at a folder's path, a `file://` address or `s3://bucket/prefix`; a folder is made if it is not there.

    Raises:
        StoreError: It cannot be used, or the address is of another kind.
        OutageError: It does not answer.
    """
    store = _store(uri)
    store.prepare()
    return store


def store_to_read(uri: str) -> ObjectStore | None:
    """The same for those who only look: nothing is made there or tidied up; None if there is no such folder.

    Raises:
        StoreError: It cannot be used, or the address is of another kind.
        OutageError: It does not answer.
    """
    store = _store(uri)
    return None if isinstance(store, FolderStore) and not store.is_there else store


def existing_store(uri: str) -> ObjectStore:
    """The same, of a store that has to be there.

    Raises:
        StoreError: There is none, it cannot be used, or the address is of another kind.
        OutageError: It does not answer.
    """
    found = store_to_read(uri)
    if found is None:
        raise StoreError(f"there is no store at {uri}", "Give another with --store")
    return found


def _store(uri: str) -> "FolderStore | S3Store":
    folder = store_folder(uri)
    if folder is not None:
        return FolderStore(folder)
    from tasks.store.s3 import S3Store  # boto3 takes a while to import

    return S3Store(uri)
