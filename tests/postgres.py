"""A real PostgreSQL server for tests, where one is installed."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from servers import background, free_port

PASSWORD = "secret-of-postgres"


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs."""
    found = shutil.which("initdb") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
    return Path(found).resolve().parent if found else None


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A server that asks for a password; the address of a database's name there, without it."""
    # It refuses to run as root.
    user = "postgres" if os.getuid() == 0 else None
    with TemporaryDirectory(prefix="lorp-postgres-", dir="/tmp") as name:
        folder, port = Path(name), free_port()
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        initialise = (
            programs / "initdb", "-D", folder / "data", "-U", "lorp", "--auth=scram-sha-256",
            f"--pwfile={folder / 'password'}",
        )  # fmt: skip
        subprocess.run(initialise, check=True, capture_output=True, user=user, cwd=folder)
        start = (programs / "postgres", "-D", folder / "data", "-p", port, "-k", folder, "-h", "127.0.0.1")
        with background(*start, environment={**os.environ}, log=Path(f"{folder}.log"), cwd=folder, user=user):
            ready = (programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port))
            while subprocess.run(ready, check=False, capture_output=True).returncode:
                time.sleep(0.2)
            yield f"postgresql://lorp@127.0.0.1:{port}/lorp"
        Path(f"{folder}.log").unlink()
