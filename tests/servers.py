"""Real servers for tests, each on a free port, gone when the test is."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx


@contextmanager
def background(*command: object, environment: dict[str, str], log: Path, cwd: Path | None = None) -> Iterator[None]:
    """Runs a command while open, with all the processes that it starts."""
    words = [str(part) for part in command]
    with log.open("w") as output:
        process = subprocess.Popen(
            words, env=environment, stdout=output, stderr=output, cwd=cwd, start_new_session=True
        )
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(url: str) -> None:
    """Waits until a server answers with success, two minutes at most."""
    for _ in range(120):
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(1)
    raise TimeoutError(url)
