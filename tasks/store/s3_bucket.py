"""One bucket: calls of S3, tried again until a deadline.

Credentials, endpoint and region are those of the usual AWS settings.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ReadTimeoutError

from lorp.errors import StoreError
from tasks.pauses import pauses
from tasks.settings import settings
from tasks.store.s3_faults import FAULTS, Missing, can_pass, outage, refusal, without_password

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_CONNECT_SECONDS, _READ_SECONDS = 5, 60
#: What comes slower, after that time, counts as what comes no more.
_LEAST_BYTES_A_SECOND, _PIECE = 1024, 1 << 12
_CONNECTIONS = 64

Answer = TypeVar("Answer")


class Bucket:
    """One bucket at the endpoint that the AWS settings name.

    Attributes:
        name: Its name.
        endpoint: The endpoint's address, without credentials.
    """

    def __init__(self, name: str, deadline_seconds: float | None = None) -> None:
        """Connects to nothing yet.

        Raises:
            StoreError: A setting cannot be used.
        """
        self.name = name
        self._deadline = settings().s3_deadline if deadline_seconds is None else deadline_seconds
        try:
            # Attempts are counted here, so that botocore's own and ours do not multiply.
            config = Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=_CONNECTIONS,
            )
            self._client = boto3.session.Session().client("s3", config=config)
        except (BotoCoreError, ValueError) as fault:
            raise StoreError(f"S3 cannot be used: {without_password(str(fault))}", "Look at the AWS settings") from None
        self.endpoint = without_password(str(self._client.meta.endpoint_url))

    def call(self, operation: str, *, seconds: float | None = None, **parameters: Any) -> dict[str, Any]:
        """One call, as often as it takes; for so many seconds, if that is less than the deadline.

        Raises:
            Missing: There is no such object or upload.
            Taken: A condition that there be none failed.
            StoreError: Refused: no such bucket, wrong credentials, no permission.
            OutageError: No answer within the deadline.
        """
        act = partial(getattr(self._client, operation), Bucket=self.name, **parameters)
        answer: dict[str, Any] = self.attempt(act, seconds)
        return answer

    def attempt(self, act: Callable[[], Answer], seconds: float | None = None) -> Answer:
        """Acts until it succeeds or is refused; no attempt begins after the deadline. Raises as `call` does."""
        allowed = self._deadline if seconds is None else min(seconds, self._deadline)
        deadline = time.monotonic() + allowed
        for pause in pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS):
            try:
                return act()
            except FAULTS as fault:
                if not can_pass(fault):
                    raise refusal(fault, self.name, self.endpoint) from None
                if time.monotonic() + pause > deadline:
                    raise outage(fault, self.name, self.endpoint, allowed) from None
            time.sleep(pause)
        raise AssertionError("pauses never end")

    def download(self, name: str, write: Callable[[bytes], object]) -> dict[str, Any]:
        """One object's bytes, in pieces; once only: `write` cannot take back what it has.

        Raises:
            BotoCoreError: And the other `FAULTS`; to be called within `attempt`.
        """
        begun, size = time.monotonic(), 0
        answer: dict[str, Any] = self._client.get_object(Bucket=self.name, Key=name)
        for piece in answer["Body"].iter_chunks(_PIECE):
            write(piece)
            size += len(piece)
            if time.monotonic() - begun > _READ_SECONDS + size / _LEAST_BYTES_A_SECOND:
                answer["Body"].close()
                raise ReadTimeoutError(endpoint_url=self.endpoint)
        return answer

    def read(self, name: str) -> bytes:
        """One object's bytes. Raises as `call` does."""

        def act() -> bytes:
            data = bytearray()
            self.download(name, data.extend)
            return bytes(data)

        return self.attempt(act)

    def pages(self, operation: str, items: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All entries of a listing that comes in pages. Raises as `call` does, but never Missing."""
        following: dict[str, Any] | None = {}
        while following is not None:
            try:
                page = self.call(operation, **parameters, **following)
            except Missing:
                raise StoreError(
                    f"{self.endpoint} does not answer as S3 does for the bucket {self.name}", "Look at AWS_ENDPOINT_URL"
                ) from None
            yield from page.get(items, [])
            following = _following(page)

    def copy(self, name: str, to: str, etag: str) -> None:
        """Copies an object within the bucket, in parts if it is large, while its ETag is that one.

        Raises as `call` does; Taken if another object is there.
        """
        source, condition = {"Bucket": self.name, "Key": name}, {"CopySourceIfMatch": f'"{etag}"'}
        self.attempt(lambda: self._client.copy(source, self.name, to, ExtraArgs=condition))


def _following(page: dict[str, Any]) -> dict[str, Any] | None:
    if not page.get("IsTruncated"):
        return None
    if "NextContinuationToken" in page:
        return {"ContinuationToken": page["NextContinuationToken"]}
    return {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
