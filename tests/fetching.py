"""What tests of sources share."""

from pathlib import Path

import pytest
from addresses import s3

from lorp.checkpoint import open_checkpoint
from lorp.digest import digest_listing, list_files
from lorp.errors import LorpError
from tasks.fetch import fetch_request
from tasks.stage import Request, run_stage
from tasks.store import FolderStore
from tasks.vault import Vault


def digest_of(folder: Path) -> str:
    """Digest of a checkpoint folder, as the store has it."""
    return digest_listing(list_files(folder, open_checkpoint(folder).files))


def fetched(store: Path, request: Request) -> str:
    """Digest of what a request stores in a folder."""
    return run_stage(Vault(FolderStore(store)), request).outputs["checkpoint"].sha256


def refused(source: str, kind: type[LorpError], tracking_uri: str | None = None) -> str:
    """The line with which a source is refused."""
    with pytest.raises(kind) as caught:
        fetch_request(source, "float32", tracking_uri)
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def put_folder(folder: Path, address: str, **more: bytes) -> None:
    """Puts a folder's files, and more, into a bucket."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | more
    for name, data in files.items():
        s3().put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=data)
