"""The object store -> whether it can be written, and creates once and never overwrites.

In a folder store the attempt is made in a folder of its own, which is removed. In a bucket it is one object below
`doctor/`, which is removed too.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from lorp.digest import digest_bytes
from lorp.errors import LorpError, StoreError
from tasks.doctor.check import Finding, fault, ok, warning
from tasks.doctor.machine import free_space, write_beside
from tasks.store import FolderStore, store_folder
from tasks.workspace import home

_NAME = "store"
_SECONDS = 10.0
_MOST_SKEW_SECONDS = 300
_CONTENTS = (b"lorp doctor was here: one", b"lorp doctor was here: two")


def look_at_store(address: str) -> Iterator[Finding]:
    """Opens it, and writes something twice."""
    folder = store_folder(address)
    yield from _in_bucket(address) if folder is None else _in_folder(folder.expanduser().absolute())


def creates_once(address: str, create: Callable[[bytes], bool], read: Callable[[], bytes]) -> Finding:
    """Creates one object twice at once: one must win, and be what is there then."""
    with ThreadPoolExecutor(len(_CONTENTS)) as pool:
        won = [content for content, first in zip(_CONTENTS, pool.map(create, _CONTENTS), strict=True) if first]
    if len(won) != 1:
        what = f"{address} let {len(won)} of {len(_CONTENTS)} writers create the same object, and one it must be"
        return fault(_NAME, what, "Use a store that creates an object once or not at all: docs/storage.md")
    if read() != won[0]:
        return fault(_NAME, f"{address} gives back other bytes than were written", "Look at its disks and caches")
    return ok(_NAME, f"{address} can be written, and never overwrites")


def _in_folder(folder: Path) -> Iterator[Finding]:
    try:
        place = write_beside(folder)
        with TemporaryDirectory(prefix=".doctor-", dir=place) as tried:
            store = FolderStore(Path(tried))
            yield creates_once(str(folder), lambda data: store.create("probe", data), lambda: store.read("probe"))
    except OSError as error:
        raise StoreError(
            f"the store {folder} cannot be written: {error.strerror}", "Give another folder with --store"
        ) from None
    yield free_space(folder)


def _in_bucket(address: str) -> Iterator[Finding]:
    from tasks.store.s3_address import S3Address
    from tasks.store.s3_bucket import Bucket
    from tasks.store.s3_upload import upload

    place = S3Address.parse(address)
    bucket = Bucket(place.bucket, _SECONDS)
    next(bucket.pages("list_objects_v2", "Contents", Prefix=place.name(""), MaxKeys=1), None)
    name = place.name(f"doctor/{uuid4().hex}")

    def create(data: bytes) -> bool:
        return upload(bucket, name, data, digest_bytes(data), home())

    def read() -> bytes:
        return bucket.read(name)

    yield creates_once(address, create, read)
    try:
        answer = bucket.call("delete_object", Key=name)
    except LorpError as error:
        yield warning(_NAME, f"{error.reason}: damaged objects cannot go to quarantine, and {name} stays", error.remedy)
    else:
        yield from clock(answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""), datetime.now(UTC))


def clock(date: str, now: datetime) -> Iterator[Finding]:
    """A warning if the server's clock, as in its `Date` header, is far from this machine's."""
    try:
        seconds = abs((parsedate_to_datetime(date) - now).total_seconds())
    except (ValueError, TypeError):
        return
    if seconds > _MOST_SKEW_SECONDS:
        what = f"the clocks of the S3 server and of this machine are {seconds / 60:.0f} minutes apart"
        yield warning("clock", what, "Set both by NTP: S3 refuses what is signed 15 minutes off")
