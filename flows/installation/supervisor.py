"""Services of one machine: started in order, started again when they end, and stopped in reverse order."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.installation.leash import GRACE
from lorp.errors import OutageError

_PATIENCE = 300.0
_STOPPING = 2 * GRACE
_LONGEST_PAUSE = 60.0
_HEALTHY_AFTER = 300.0
_SHOWN_LINES = 3

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process.

    Attributes:
        name: Of it and of its log.
        command: Program and arguments; no secrets, since every user of the machine can read them.
        environment: All of its variables.
        folder: Where it runs.
        answers: Whether it does its work.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    answers: Callable[[], bool]


@dataclass(kw_only=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    since: float
    failures: int = 0
    again_at: float | None = None


@dataclass(kw_only=True)
class Supervisor:
    """Keeps services up.

    Attributes:
        logs: Folder of their logs.
        tell: Says what happens, to whoever started it.
    """

    logs: Path
    tell: Tell
    _running: list[_Running] = field(default_factory=list)

    def log(self, service: Service) -> Path:
        """Where a service's output is kept."""
        return self.logs / f"{service.name}.log"

    def start(self, service: Service) -> None:
        """Starts a service, and waits until it answers.

        Raises:
            OutageError: It ended, or does not answer.
        """
        running = _Running(service=service, process=self._spawn(service), since=time.monotonic())
        self._running.append(running)
        while not service.answers():
            if running.process.poll() is not None:
                raise self._failed(service, f"ended with status {running.process.returncode}")
            if time.monotonic() - running.since > _PATIENCE:
                raise self._failed(service, f"does not answer after {_PATIENCE:.0f} seconds")
            time.sleep(0.5)

    def watch(self) -> None:
        """Starts again what ends, later each time, until something is raised."""
        while True:
            for running in self._running:
                self._look(running, time.monotonic())
            time.sleep(1)

    def stop(self) -> None:
        """Stops all, the last that was started first: what needs a service is gone before it."""
        for running in reversed(self._running):
            assert running.process.stdin is not None
            running.process.stdin.close()
            try:
                running.process.wait(_STOPPING)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        self._running.clear()

    def _look(self, running: _Running, now: float) -> None:
        name = running.service.name
        if running.again_at is None:
            if running.process.poll() is None:
                return
            running.failures = 1 if now - running.since > _HEALTHY_AFTER else running.failures + 1
            pause = min(2.0**running.failures, _LONGEST_PAUSE)
            running.again_at = now + pause
            status = running.process.returncode
            self.tell(f"{name} ended with status {status}, and is started again in {pause:.0f} s")
        elif now >= running.again_at:
            running.process, running.since, running.again_at = self._spawn(running.service), now, None

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        # A session of its own: an interrupt from the terminal is for the supervisor, which stops things in their order.
        return subprocess.Popen(
            (sys.executable, "-m", "flows.installation.leash", str(self.log(service)), *service.command),
            stdin=subprocess.PIPE, cwd=service.folder, env=dict(service.environment), start_new_session=True,
        )  # fmt: skip

    def _failed(self, service: Service, how: str) -> OutageError:
        lines = self.log(service).read_text(errors="replace").splitlines() if self.log(service).exists() else []
        last = " / ".join(line.strip() for line in lines if line.strip())[-_SHOWN_LINES * 100 :]
        return OutageError(f"{service.name} {how}: {last or 'it said nothing'}", f"Look at {self.log(service)}")
