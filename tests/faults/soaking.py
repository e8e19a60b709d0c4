"""What a soak is made of: a server that can be killed, processes that are watched, and a plan of what happens when."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import yaml
from bench import REPOSITORY
from installations import LORP, Installation
from servers import seaweed_command, wait_for

#: What is killed.
Victim = Literal["worker", "run", "mlflow", "prefect", "s3", "mover"]
VICTIMS: tuple[Victim, ...] = ("worker", "run", "mlflow", "prefect", "s3", "mover")

#: These are killed to the end. Services have the last part of a soak to themselves, or few would be there for long.
_TO_THE_END: tuple[Victim, ...] = ("run", "mover")
_CALM = 0.3

_MB, _HOUR = 1e6, 3600.0
#: A process that came later warms up later.
_WARM_SECONDS = 60.0
#: Samples that make a slope, and those at either end that threads and files are compared by.
_ENOUGH, _FEW = 20, 5


class S3Server:
    """A SeaweedFS server that comes back where it was, with all that it had.

    Attributes:
        endpoint: Its address.
    """

    def __init__(self, folder: Path) -> None:
        """Starts it."""
        self._folder = folder
        # Of now: later there may be an installation's, to which it does not belong.
        self._environment = {**os.environ}
        self._command, self.endpoint = seaweed_command(folder)
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with (self._folder / "log").open("a") as log:
            words = [str(word) for word in self._command]
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, cwd=self._folder, env=self._environment, start_new_session=True
            )
        wait_for(f"{self.endpoint}/healthz", every=0.2)

    def kill(self) -> None:
        """Kills it and all its parts at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass(frozen=True, kw_only=True)
class Hurt:
    """Something that is killed, at a second of the soak."""

    second: float
    victim: Victim
    draw: float


def hurts(draw: random.Random, seconds: float) -> Iterator[Hurt]:
    """What is killed when: each kind in turn, in an order of chance, at intervals of chance; no service at the end."""
    second = 30.0
    while True:
        for victim in draw.sample(VICTIMS, len(VICTIMS)):
            second += draw.uniform(15, 55)
            if second > seconds:
                return
            if second <= seconds * (1 - _CALM) or victim in _TO_THE_END:
                yield Hurt(second=second, victim=victim, draw=draw.random())


def deployments(folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """The deployments as they are, but for changes by name; a file for `lorp up --deployments`."""
    shutil.copytree(REPOSITORY / "deployments", folder / "deployments", dirs_exist_ok=True)
    wanted = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    for each in wanted["deployments"]:
        each.update(changes.get(each["name"], {}))
    (folder / "prefect.yaml").write_text(yaml.safe_dump(wanted))
    return folder / "prefect.yaml"


def kind_of(process: psutil.Process) -> str:
    """What a process of an installation is; `other` for what does not stay."""
    words = " ".join(process.cmdline())
    if "flows.installation.leash" in words:
        return "leash"
    if "prefect worker start" in words:
        return "worker"
    if " up --prefect-port" in words:
        return "up"
    if "engine" in words:
        return "run"
    return "server" if "mlflow" in words or "prefect" in words or "uvicorn" in words else "other"


def kill_one(installation: Installation, victim: Victim, draw: float) -> bool:
    """Kills a service with its parts, a worker or a run, without a word; False if there is none to kill."""
    if victim in ("mlflow", "prefect"):
        doomed = [part for leash in _leashes(installation, victim) for part in leash.children(recursive=True)]
    else:
        found = [process for process in installation.processes() if _is(process, victim)]
        doomed = [found[int(draw * len(found))]] if found else []
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(doomed)


def _leashes(installation: Installation, service: str) -> list[psutil.Process]:
    return [
        each
        for each in installation.processes()
        if _is(each, "leash") and f"/{service}.log" in " ".join(each.cmdline())
    ]


def _is(process: psutil.Process, kind: str) -> bool:
    try:
        return kind_of(process) == kind
    except psutil.Error:
        return False


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A process at a time.

    Attributes:
        second: Of the soak.
        rss: Resident bytes.
        uss: Those that it has to itself.
        threads: Its threads.
        files: Its open files, sockets and pipes.
    """

    second: float
    rss: int
    uss: int
    threads: int
    files: int


@dataclass
class Watched:
    """Samples of an installation's processes that stay, by kind and process."""

    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def look(self, installation: Installation, second: float) -> None:
        """Takes a sample of each."""
        for process in installation.processes():
            with suppress(psutil.Error), process.oneshot():
                kind, memory = kind_of(process), process.memory_full_info()
                if kind not in ("other", "run"):
                    sample = Sample(
                        second=second,
                        rss=memory.rss,
                        uss=memory.uss,
                        threads=process.num_threads(),
                        files=process.num_fds(),
                    )
                    self.samples[kind, process.pid].append(sample)

    def slopes(self, kind: str, since: float) -> list[float | None]:
        """Of each process of a kind that is there to the end: MB an hour; None for one that was not there for long."""
        return [_slope(later) if len(later) >= _ENOUGH else None for later in self._later(kind, since)]

    def slope(self, kind: str, since: float) -> float | None:
        """The steepest of a kind that is known."""
        return max((slope for slope in self.slopes(kind, since) if slope is not None), default=None)

    def grown(self, kind: str, since: float) -> list[str]:
        """Processes of a kind that have more threads or files at the end than ever soon after that second.

        A connection comes and goes, so what counts is the least at the end, and the most in the first third.
        """
        return [
            f"{kind}: {what} {before} -> {after}"
            for later in self._later(kind, since)
            if len(later) >= 2 * _FEW
            for what in ("threads", "files")
            for before, after in [_before_and_after([getattr(sample, what) for sample in later])]
            if after > before
        ]

    def peak_rss(self, kind: str) -> float:
        """The most that a process of a kind had, in MB."""
        return max((s.rss for (each, _), taken in self.samples.items() if each == kind for s in taken), default=0) / _MB

    def _later(self, kind: str, since: float) -> Iterable[list[Sample]]:
        """Of each process that is there to the end, what comes after that second."""
        last = max((taken[-1].second for taken in self.samples.values()), default=0)
        for (each, _), taken in self.samples.items():
            if each == kind and taken[-1].second == last:
                yield [sample for sample in taken if sample.second >= max(since, taken[0].second + _WARM_SECONDS)]


def _before_and_after(counts: Sequence[int]) -> tuple[int, int]:
    return max(counts[: max(_FEW, len(counts) // 3)]), min(counts[-_FEW:])


def _slope(samples: list[Sample]) -> float:
    seconds, uss = [sample.second for sample in samples], [sample.uss for sample in samples]
    return float(np.polyfit(seconds, uss, 1)[0]) * _HOUR / _MB


@dataclass
class Movers:
    """Processes that move an alias of one name, two at once at most.

    Attributes:
        name: The registered model.
        environment: Of the processes; homes of their own are below `home`.
        home: A folder.
        moved: What those that moved it said.
        statuses: Exit statuses of those that have ended.
    """

    name: str
    environment: dict[str, str]
    home: Path
    moved: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _running: list[tuple[subprocess.Popen[str], Path]] = field(default_factory=list)
    _started: int = 0

    def start(self, draw: random.Random, num_versions: int) -> None:
        """Starts one, unless there are two."""
        self.collect()
        if len(self._running) >= 2:
            return
        policy = self.home / "policy.yaml"
        policy.write_text("max_ratio_to_production: null\n")
        if draw.random() < 0.7:
            words = ["promote", self.name, f"--version={draw.randint(1, num_versions)}", f"--policy={policy}"]
        else:
            words = ["rollback", self.name]
        self._started += 1
        said = self.home / f"{self._started}.json"
        environment = {**self.environment, "LORP_HOME": str(self.home / f"home-{self._started % 2}")}
        with said.open("w") as out, said.with_suffix(".err").open("w") as err:
            command = [LORP, *words, f"--by={self._started}", "--json"]
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=err, text=True)
        self._running.append((process, said))

    def kill(self) -> bool:
        """Kills one; False if none runs."""
        self.collect()
        if self._running:
            self._running[0][0].kill()
        return bool(self._running)

    def end(self) -> None:
        """Kills those that run."""
        for process, _ in self._running:
            process.kill()
            process.wait()

    @property
    def homes(self) -> list[Path]:
        """Of their own."""
        return sorted(self.home.glob("home-*"))

    @property
    def traces(self) -> list[str]:
        """What those wrote that did not see a fault coming."""
        said = [file.read_text() for file in sorted(self.home.glob("*.err"))]
        return [text[-2000:] for text in said if "Traceback" in text]

    def finish(self) -> None:
        """Waits for those that run."""
        for process, _ in self._running:
            process.wait(300)
        self.collect()

    def collect(self) -> None:
        """Notes what those said that have ended."""
        for process, said in [each for each in self._running if each[0].poll() is not None]:
            self._running.remove((process, said))
            self.statuses.append(process.returncode)
            if process.returncode == 0:
                outcome = json.loads(said.read_text())
                if outcome["state"] in ("Promoted", "RolledBack"):
                    self.moved.append(outcome)


def until(check: Any, seconds: float, every: float = 2) -> bool:
    """Whether something comes true within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(every)
    return False
