"""Where in S3 something is."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from lorp.errors import StoreError
from tasks.store.protocol import KEY

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class S3Address:
    """A place in a bucket; the prefix is empty or a relative path."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> "S3Address":
        """From `s3://bucket/prefix`.

        Raises:
            StoreError: Something else.
        """
        parts = urlsplit(uri)
        prefix = parts.path.strip("/")
        sound = _BUCKET.fullmatch(parts.netloc) and (not prefix or KEY.fullmatch(prefix))
        if parts.scheme != "s3" or not sound or parts.query or parts.fragment:
            raise StoreError(f"{uri} is no address in S3", "Give one such as s3://bucket/prefix")
        return cls(bucket=parts.netloc, prefix=prefix)

    def name(self, key: str) -> str:
        """What a key is called in the bucket."""
        return f"{self.prefix}/{key}" if self.prefix else key
