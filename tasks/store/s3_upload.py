"""Bytes or a file -> an object that was not there before, whole or not at all.

A create-only write that S3 refuses may have been won all the same: its first attempt landed, its answer was lost, and
the second attempt met the first. So each writer leaves a word of its own with the object and looks for it when refused.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from lorp.errors import LorpError, OutageError
from tasks.store.s3_bucket import Bucket
from tasks.store.s3_faults import Missing, Taken
from tasks.store.s3_notes import Begun, noted

LOGGER = logging.getLogger("lorp.store")

PART_BYTES = 32 << 20

_MAX_PARTS = 10_000
_UPLOADS_AT_ONCE = 4
_STARTS = 3
_CLEANING_SECONDS = 10.0
_PART_PROOFS = ("ETag", "ChecksumCRC32")
_WRITER = "lorp-writer"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One object to be written.

    Attributes:
        name: Its name in the bucket.
        writer: Nobody else's word.
        sha256: Of its bytes.
        more: Other parameters of the call that makes it.
    """

    name: str
    writer: str
    sha256: str
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the object carries; S3 itself checks the CRC32."""
        metadata = {_WRITER: self.writer, "lorp-sha256": self.sha256}
        return {"Key": self.name, "Metadata": metadata, "ChecksumAlgorithm": "CRC32", **self.more}


def upload(
    bucket: Bucket,
    name: str,
    source: bytes | Path,
    sha256: str,
    scratch: Path,
    part_bytes: int = PART_BYTES,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Writes an object unless there is one; whether it was this call that did.

    Args:
        bucket: Where.
        name: The object's name there.
        source: Its bytes, or a file that has them.
        sha256: Of them; kept with the object.
        scratch: Folder for work in progress, where an upload in parts is noted while it lasts.
        part_bytes: A larger file is sent in parts of this size.
        more: Other parameters of the call that makes it, such as those of a lock.

    Raises:
        StoreError: S3 refuses.
        OutageError: It does not answer within the deadline.
    """
    one = Upload(name=name, writer=uuid4().hex, sha256=sha256, more=more)
    if isinstance(source, Path) and source.stat().st_size > part_bytes:
        if _is_ours(bucket, one) is False:
            return False  # before anything large is sent
        with noted(scratch, name) as begun:
            return _upload_parts(bucket, one, source, part_bytes, begun)
    data = source.read_bytes() if isinstance(source, Path) else source
    try:
        bucket.call("put_object", Body=data, IfNoneMatch="*", **one.parameters)
    except Taken:
        return _is_ours(bucket, one) or False
    return True


def abort_stale(bucket: Bucket, prefix: str, before: float) -> None:
    """Ends uploads in parts below a prefix that were begun before a time, in seconds since the epoch."""
    for entry in bucket.pages("list_multipart_uploads", "Uploads", seconds=_CLEANING_SECONDS, Prefix=prefix):
        if entry["Initiated"].timestamp() < before:
            _abort(bucket, entry["Key"], entry["UploadId"])
            LOGGER.info("an upload of %s that was never finished was ended", entry["Key"])


def end_begun(bucket: Bucket, begun: Begun) -> bool:
    """Ends what is left of an upload; False if S3 did not answer. Raises as `Bucket.call` does, but never Missing."""
    ended = [_abort(bucket, begun.name, upload_id) for upload_id in begun.ids]
    return _end_empty(bucket, begun.name) and all(ended)


def _upload_parts(bucket: Bucket, one: Upload, source: Path, part_bytes: int, begun: Begun) -> bool:
    try:
        for _ in range(_STARTS):
            ours = _upload_once(bucket, one, source, part_bytes, begun)
            if ours is not None:
                return ours
    finally:
        if _try_to_end_empty(bucket, one.name):
            begun.forget()
    raise OutageError(f"uploads of {one.name} to {bucket.endpoint} are lost again and again", "Run again later")


def _upload_once(bucket: Bucket, one: Upload, source: Path, part_bytes: int, begun: Begun) -> bool | None:
    """Whether the object is ours; None if there is none, because the upload is gone. What is unfinished stays noted."""
    upload_id = bucket.call("create_multipart_upload", **one.parameters)["UploadId"]
    begun.note(upload_id)
    ours = None
    try:
        parts = _send_parts(bucket, one, upload_id, source, part_bytes)
        ours = _complete(bucket, one, upload_id, parts)
    except Missing:
        ours = _is_ours(bucket, one)
    finally:
        if ours or _abort(bucket, one.name, upload_id):
            begun.strike(upload_id)
    return ours


def _abort(bucket: Bucket, name: str, upload_id: str) -> bool:
    """Whether that was all that can be done about it: False if S3 did not answer."""
    try:
        bucket.call("abort_multipart_upload", seconds=_CLEANING_SECONDS, Key=name, UploadId=upload_id)
    except Missing:
        pass
    except LorpError as fault:
        LOGGER.warning("what was sent of %s could not be removed: %s", name, fault)
        return not isinstance(fault, OutageError)  # a refusal stays one
    return True


def _try_to_end_empty(bucket: Bucket, name: str) -> bool:
    """Whether that was all that can be done about it."""
    try:
        return _end_empty(bucket, name)
    except LorpError as fault:
        LOGGER.warning("whether an upload of %s was begun twice could not be looked at: %s", name, fault)
        return not isinstance(fault, OutageError)


def _end_empty(bucket: Bucket, name: str) -> bool:
    """Ends uploads of an object for which nothing was sent: begun without our knowing, since the answer was lost.

    One that another machine has begun in this moment is begun again there. False if S3 did not answer to one of them.
    """
    entries = bucket.pages("list_multipart_uploads", "Uploads", seconds=_CLEANING_SECONDS, Prefix=name)
    ids = [entry["UploadId"] for entry in entries if entry["Key"] == name]
    ended = [_abort(bucket, name, one) for one in ids if not _has_parts(bucket, name, one)]
    return all(ended)


def _has_parts(bucket: Bucket, name: str, upload_id: str) -> bool:
    try:
        found = bucket.call("list_parts", seconds=_CLEANING_SECONDS, Key=name, UploadId=upload_id, MaxParts=1)
    except Missing:
        return False
    return bool(found.get("Parts"))


def _send_parts(bucket: Bucket, one: Upload, upload_id: str, source: Path, part_bytes: int) -> list[dict[str, Any]]:
    size = source.stat().st_size
    part_bytes = max(part_bytes, -(-size // _MAX_PARTS))

    def send(number: int) -> dict[str, Any]:
        with source.open("rb") as file:
            file.seek((number - 1) * part_bytes)
            data = file.read(part_bytes)
        place: dict[str, Any] = {"Key": one.name, "UploadId": upload_id, "PartNumber": number}
        answer = bucket.call("upload_part", Body=data, ChecksumAlgorithm="CRC32", **place)
        return {"PartNumber": number} | {name: answer[name] for name in _PART_PROOFS if name in answer}

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        return list(pool.map(send, range(1, -(-size // part_bytes) + 1)))


def _complete(bucket: Bucket, one: Upload, upload_id: str, parts: list[dict[str, Any]]) -> bool | None:
    """Whether the object is ours; None if there is none, and the upload is gone."""
    try:
        bucket.call(
            "complete_multipart_upload",
            Key=one.name,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*",
        )
    except (Taken, Missing):
        return _is_ours(bucket, one)
    return True


def _is_ours(bucket: Bucket, one: Upload) -> bool | None:
    """Whether the object that is there was written by this upload; None if there is none."""
    try:
        found = bucket.call("head_object", Key=one.name)
    except Missing:
        return None
    return bool(found["Metadata"].get(_WRITER) == one.writer)
