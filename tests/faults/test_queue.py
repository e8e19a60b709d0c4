"""A hundred runs that are asked for at once, of which two may run: on a real server, with real workers."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jobs
import pytest
from bench import REPOSITORY, Figures, mode
from installations import LORP, Installation, installation_in
from rows import trials
from soaking import Watched, deployments

pytestmark = pytest.mark.faults

_ASKED, _LIMIT = 100, 2
#: How many have to end; in `make faults` not all of them, which would take half of its hour.
_ENDING = int(os.environ.get("LORP_QUEUE_ENDING", "100" if mode() == "full" else "12"))
_PATIENCE_A_RUN = 120.0
_STATUS_SECONDS = 60.0


@dataclass(kw_only=True)
class Queue:
    """What has been seen of the runs."""

    installation: Installation
    watched: Watched = field(default_factory=Watched)
    most_at_once: int = 0
    slowest_status: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    def fill(self, source: Path) -> list[str]:
        """Asks for all runs, each of another seed; their ids."""
        found = self._call("GET", "deployments/name/recompress/recompress")
        ids = []
        for seed in range(_ASKED):
            calibration = {**jobs.RECIPE["calibration"], "seed": seed}
            spec = {**jobs.RECIPE, "source": str(source), "name": "queued", "calibration": calibration}
            asked = {"parameters": {"spec": spec}, "state": {"type": "SCHEDULED"}, "idempotency_key": f"queued-{seed}"}
            ids.append(self._call("POST", f"deployments/{found['id']}/create_flow_run", asked)["id"])
        return ids

    def drain(self) -> dict[str, str]:
        """Waits until enough have ended; the state of every run by its id."""
        end, status = time.monotonic() + _ENDING * _PATIENCE_A_RUN, 0.0
        while True:
            states = self._states()
            counted = Counter(states.values())
            self.most_at_once = max(self.most_at_once, counted["RUNNING"])
            if sum(counted[state] for state in ("COMPLETED", "FAILED", "CRASHED")) >= _ENDING:
                return states
            assert time.monotonic() < end, counted
            self.watched.look(self.installation, time.monotonic() - self._begun)
            if time.monotonic() > status:
                self._status()
                status = time.monotonic() + _STATUS_SECONDS
            time.sleep(2)

    def _states(self) -> dict[str, str]:
        asked = {"flows": {"name": {"any_": ["recompress"]}}, "limit": 200}
        return {run["id"]: run["state_type"] for run in self._call("POST", "flow_runs/filter", asked)}

    def _status(self) -> None:
        begun = time.monotonic()
        done = subprocess.run(
            [LORP, "status", "--json"], env=self.installation.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        self.slowest_status = max(self.slowest_status, time.monotonic() - begun)

    def _call(self, method: str, what: str, asked: Any = None) -> Any:
        """A call, again while the server's database is locked, as Prefect's own clients do."""
        for _ in range(60):
            with suppress(httpx.TransportError):
                answer = httpx.request(method, f"{self.installation.api}/{what}", json=asked, timeout=120)
                if answer.status_code not in (429, 503):
                    return answer.raise_for_status().json()
            time.sleep(1)
        raise TimeoutError(what)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    up = installation_in(tmp_path / "home", PYTHONPATH=str(REPOSITORY))
    yield up
    for process in up.processes():
        process.kill()


def test_a_hundred_runs_two_at_once(installation: Installation, pico: Path, tmp_path: Path) -> None:
    tried = trials("load_queue")
    for number in tried.left():
        with tried.trial(number) as figures:
            limit = {"concurrency_limit": {"limit": _LIMIT, "collision_strategy": "ENQUEUE"}}
            file = deployments(tmp_path, {"recompress": limit, "watch": {"schedules": []}})
            up = installation.start("--workers", 2, "--deployments", file)
            queue = Queue(installation=installation)
            ids = queue.fill(pico)
            states = queue.drain()
            _measure(queue, states, figures)
            assert set(states) == set(ids), "what was asked for is there once each, and nothing else"
            assert queue.most_at_once <= _LIMIT
            assert not {"FAILED", "CRASHED"} & set(states.values())
            up.terminate()
            assert up.wait(180) == 0
            assert installation.all_gone()
        break  # another one wants another installation: the next call of this test goes on


def _measure(queue: Queue, states: dict[str, str], figures: Figures) -> None:
    figures |= {
        "queued": len(states),
        "ended": Counter(states.values())["COMPLETED"],
        "at once": queue.most_at_once,
        "slowest status": queue.slowest_status,
    }
    for kind in ("up", "leash", "worker", "server"):
        figures[f"{kind} RSS"] = queue.watched.peak_rss(kind)
