"""Services of one machine: started in order, started again when they end, and stopped: servers last."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.installation.leash import LONGEST
from lorp.errors import OutageError

_PATIENCE = 300.0
_STOPPING = LONGEST + 5
_LONGEST_PAUSE, _MOST_DOUBLINGS = 60.0, 10
_HEALTHY_AFTER = 300.0
_SHOWN_LINES = 3

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Chore:
    """Something to be done now and then.

    Attributes:
        act: Does it.
        every: Seconds from one time to the next.
        needs: The name of the service that it needs.
        settled: Seconds for which that has to have been up.
    """

    act: Callable[[], None]
    every: float
    needs: str
    settled: float


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process.

    Attributes:
        name: Of it and of its log.
        command: Program and arguments; no secrets, since every user of the machine can read them.
        environment: All of its variables.
        folder: Where it runs.
        answers: Whether it does its work.
        port: Where it listens if it is a server, which others rest on.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    answers: Callable[[], bool]
    port: int | None = None


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
        chore: What is done beside it.
    """

    logs: Path
    tell: Tell
    chore: Chore | None = None
    _running: list[_Running] = field(default_factory=list)
    _chore_at: float = 0.0

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
        while not (_listens(running) and service.answers()):
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
            self._do_chore(time.monotonic())
            time.sleep(1)

    def stop(self) -> None:
        """Stops what rests on servers, all of it at once, and then the servers."""
        _stop([running for running in self._running if running.service.port is None])
        _stop([running for running in self._running if running.service.port is not None])
        self._running.clear()

    def _look(self, running: _Running, now: float) -> None:
        name = running.service.name
        if running.again_at is None:
            if running.process.poll() is None:
                return
            running.failures = 1 if now - running.since > _HEALTHY_AFTER else running.failures + 1
            pause = min(2.0 ** min(running.failures, _MOST_DOUBLINGS), _LONGEST_PAUSE)
            running.again_at = now + pause
            status = running.process.returncode
            self.tell(f"{name} ended with status {status}, and is started again in {pause:.0f} s")
        elif now >= running.again_at:
            running.process, running.since, running.again_at = self._spawn(running.service), now, None

    def _do_chore(self, now: float) -> None:
        if self.chore is None or now < self._chore_at:
            return
        needed = [running for running in self._running if running.service.name == self.chore.needs]
        if all(running.again_at is None and now - running.since >= self.chore.settled for running in needed):
            self.chore.act()
            self._chore_at = now + self.chore.every

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


def _listens(running: _Running) -> bool:
    """Whether it is what was started that listens on the service's port: what answers there may be another's."""
    port = running.service.port
    try:
        return port is None or any(
            (connection.status, connection.laddr[1:2]) == (psutil.CONN_LISTEN, (port,))
            for process in psutil.Process(running.process.pid).children(recursive=True)
            for connection in process.net_connections("tcp")
        )
    except psutil.Error:
        return False


def _stop(several: list[_Running]) -> None:
    """Asks all to end, and waits until they have."""
    for running in several:
        assert running.process.stdin is not None
        running.process.stdin.close()
    until = time.monotonic() + _STOPPING
    for running in several:
        try:
            running.process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
