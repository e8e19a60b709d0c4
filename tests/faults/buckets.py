"""Stores in a bucket of the S3 server, for processes of their own."""

from pathlib import Path
from typing import Any

import boto3
from servers import S3_CREDENTIALS


def s3_environment(endpoint: str, store: str, home: Path) -> dict[str, str | None]:
    """What leads a process to a store in a bucket, and to nothing of this machine's own."""
    return {
        **S3_CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": str(home / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PROFILE": None,
        "LORP_STORE": store,
        "LORP_HOME": str(home),
    }


def uploads(endpoint: str, store: str) -> list[str]:
    """Keys of uploads in parts below a store's prefix that were neither finished nor ended."""
    bucket, _, prefix = store.removeprefix("s3://").partition("/")
    keys = {"aws_access_key_id": S3_CREDENTIALS["AWS_ACCESS_KEY_ID"]}
    keys["aws_secret_access_key"] = S3_CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    client: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
    found = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", [])
    return [entry["Key"] for entry in found]


def scratch(home: Path) -> list[Path]:
    """What lies in folders for work in progress."""
    return [left for folder in home.rglob(".scratch") for left in folder.iterdir()]
