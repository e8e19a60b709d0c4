"""Installations by `lorp up`, for tests."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from servers import free_port

LORP = Path(sys.executable).with_name("lorp")


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A home, and the ports of what is up in it."""

    home: Path
    prefect_port: int
    mlflow_port: int
    more: dict[str, str] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}/api"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def said(self) -> str:
        return (self.home / "said").read_text()

    @property
    def environment(self) -> dict[str, str]:
        own = {"LORP_HOME": str(self.home), "PREFECT_API_URL": self.api, "MLFLOW_TRACKING_URI": self.mlflow}
        return {**os.environ, **own, **self.more, "PREFECT_HOME": str(self.home / "prefect")}

    def command(self, *more: object) -> list[str]:
        ports = ("--prefect-port", self.prefect_port, "--mlflow-port", self.mlflow_port)
        return [str(word) for word in (LORP, "up", *ports, *more)]

    def start(self, *more: object) -> subprocess.Popen[bytes]:
        self.home.mkdir(exist_ok=True)
        with (self.home / "said").open("w") as said:
            process = subprocess.Popen(self.command(*more), env=self.environment, stdout=said, stderr=said)
        for _ in range(240):
            if "Up. Ctrl-C" in self.said:
                return process
            assert process.poll() is None, self.said
            time.sleep(1)
        process.kill()
        raise TimeoutError(self.said)

    def again(self, *more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*more), env=self.environment, capture_output=True, text=True, check=False)

    def processes(self) -> list[psutil.Process]:
        """All of this machine's that belong to it."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("LORP_HOME") == str(self.home) and process.pid != os.getpid():
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def all_gone(self) -> bool:
        """Whether none is left, a minute later at most."""
        return not psutil.wait_procs(self.processes(), timeout=60)[1] and not self.processes()

    def deployments(self) -> set[str]:
        found: list[dict[str, Any]] = httpx.post(f"{self.api}/deployments/filter", json={}, timeout=60).json()
        return {deployment["name"] for deployment in found}


def installation_in(home: Path, **more: str) -> Installation:
    """An installation that is not up yet, with these variables in its environment."""
    return Installation(home=home, prefect_port=free_port(), mlflow_port=free_port(), more=more)
