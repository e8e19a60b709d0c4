"""Secrets that are set for others are in nothing that a run leaves or says."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from addresses import s3
from prefect.settings import PREFECT_API_URL
from support import PICO_OPTIONS

PLANTED = {
    name: f"planted-{uuid4().hex}"
    for name in (
        "AWS_SESSION_TOKEN_OF_OTHERS", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
        "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING",
    )
}  # fmt: skip


@pytest.mark.usefixtures("prefect_server")
def test_a_run_leaves_and_says_no_secret(pico: Path, prefix: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"LORP_STORE={prefix}\nOTHER_SECRET=planted-in-dotenv\n")
    environment = {
        **os.environ,
        **PLANTED,
        "MLFLOW_TRACKING_USERNAME": "planted-user",
        "LORP_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    secrets = [*PLANTED.values(), "planted-in-dotenv", "planted-user", environment["AWS_SECRET_ACCESS_KEY"]]
    command = [Path(sys.executable).with_name("lorp"), "recompress", pico, "--remove=2", "--json", *PICO_OPTIONS]
    done = subprocess.run(
        [*command, "--max-perplexity-ratio=100"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    left = {"what it said": done.stdout + done.stderr, **files_below(tmp_path), **objects_below(prefix)}
    assert len(left) > 40
    found = [(place, secret) for place, data in left.items() for secret in secrets if secret.encode() in data]
    assert found == [(str(tmp_path / ".env"), "planted-in-dotenv")]


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def objects_below(address: str) -> dict[str, bytes]:
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    client = s3()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {f"s3://{bucket}/{key}": client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
