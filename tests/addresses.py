"""Reaches into stores by address, as anyone else may who can write there."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3


def overwrite(address: str, data: bytes) -> None:
    """Puts bytes at an address, whatever is there."""
    if address.startswith("s3:"):
        s3().put_object(**_place(address), Body=data)
    else:
        _path(address).write_bytes(data)


def content(address: str) -> bytes:
    """The bytes at an address."""
    if address.startswith("s3:"):
        data: bytes = s3().get_object(**_place(address))["Body"].read()
        return data
    return _path(address).read_bytes()


def remove(address: str) -> None:
    """Removes what is at an address, if anything is."""
    if address.startswith("s3:"):
        s3().delete_object(**_place(address))
    else:
        _path(address).unlink(missing_ok=True)


def spoil(address: str) -> None:
    """Flips a bit of the first byte."""
    data = content(address)
    overwrite(address, bytes([data[0] ^ 1]) + data[1:])


def unfinished_uploads(bucket: str) -> list[str]:
    """Keys of uploads in parts that were neither completed nor aborted."""
    return [entry["Key"] for entry in s3().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def s3() -> Any:
    """A client by the environment's settings."""
    return boto3.session.Session().client("s3")


def _place(address: str) -> dict[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
