"""A clock that jumps by hours and years, between and during steps: nothing is lost, and nobody waits for ever."""

import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import jobs
from checks import state
from children import child
from rows import trials

_HOUR = 3600.0
_YEAR = 365 * 24 * _HOUR
_LONGEST_JUMP = 5 * _YEAR
#: Of readings of the clock that find it elsewhere.
_JUMPY = 0.3


def test_a_jumping_clock_loses_nothing(make_home: Callable[[str], Path], pico: Path) -> None:
    tried = trials("clock")
    for number in tried.left():
        with tried.trial(number) as figures:
            calm, jumping = (
                _life(make_home(f"clock-{name}"), pico, seed) for name, seed in (("calm", None), ("jumping", number))
            )
            assert jumping["state"] == calm["state"]
            assert jumping["sequences"] == list(range(1, 6))
            figures["jumps"] = jumping["jumps"]
            figures["steps"] = jumping["steps"]
            assert jumping["jumps"]


def test_a_look_neither_waits_for_ever_nor_starts_at_once(make_home: Callable[[str], Path]) -> None:
    home = make_home("clock-watch")
    environment = {"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None}
    tried = trials("clock_watch")
    for number in tried.left():
        with tried.trial(number) as figures:
            figures["waits"] = child(_waits, number, environment=environment).end().whole()


def _life(home: Path, source: Path, seed: int | None) -> Any:
    """A model's life, each command in a process of its own; then what is there by the right clock."""
    environment = {"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None}
    jumps = 0
    for step in range(len(_STEPS)):
        jumps += child(_step, step, str(source), seed, environment=environment).end().whole()
    found = child(_what_is_there, environment=environment).end().whole()
    return {**found, "jumps": jumps, "steps": len(_STEPS)}


def _gc(_: Path) -> None:
    from flows.keeping import collect

    assert collect(7, delete=True, store=None, tracking_uri=None, as_json=False) == 0


def _audit(_: Path) -> None:
    from tasks.audit import AuditRequest, audit
    from tasks.vault import open_vault
    from tasks.workspace import workspace

    places = workspace()
    assert audit(open_vault(places.store).store, AuditRequest(target=None, places=places)).found.sound


_STEPS: tuple[Callable[[Path], Any], ...] = (
    lambda source: jobs.recompress(source, pruning={"remove": 2, "method": ["shortgpt"]}),
    lambda source: jobs.recompress(source, pruning={"remove": 1, "method": ["shortgpt"]}),
    lambda _: jobs.promote("pico", 1),
    lambda _: jobs.promote("pico", 2),
    _gc,
    lambda _: jobs.roll_back("pico"),
    # What is in no ledger, and was made just now.
    lambda source: jobs.recompress(source, name="other", gate={"max_perplexity_ratio": 0.5}),
    _gc,
    _audit,
)


def _step(number: int, source: str, seed: int | None) -> int:
    import flows.keeping
    import flows.watch  # noqa: F401  # so that all that read the clock are there

    clock = Clock(random.Random(f"{seed} {number}")) if seed is not None else None
    if clock:
        clock.begin()
    _STEPS[number](Path(source))
    return clock.jumps if clock else 0


def _what_is_there() -> dict[str, Any]:
    from tasks.ledger import read_ledger
    from tasks.vault import open_vault
    from tasks.workspace import workspace

    entries = read_ledger(open_vault(workspace().store), "pico")
    return {"state": state(), "sequences": [entry.sequence for entry in entries]}


class Clock:
    """The wall clock, which is elsewhere now and then; the monotonic one is let alone.

    Attributes:
        jumps: How often it has jumped.
    """

    def __init__(self, draw: random.Random) -> None:
        self.jumps = 0
        self._draw, self._offset, self._time = draw, 0.0, time.time

    def begin(self) -> None:
        """From now on all in this process see it; there is no end but the process's."""

        class Jumping(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.fromtimestamp(self.read(), tz)

        time.time = self.read
        time.time_ns = lambda: int(self.read() * 1e9)
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("lorp", "tasks", "flows") and getattr(module, "datetime", None) is datetime:
                module.datetime = Jumping  # type: ignore[attr-defined]

    def read(self) -> float:
        """The time, or so it says."""
        if self._draw.random() < _JUMPY:
            self._offset, self.jumps = jump(self._draw), self.jumps + 1
        return self._time() + self._offset


def jump(draw: random.Random) -> float:
    """Seconds by which a clock is wrong: as often hours as years, back or forth."""
    longest = draw.choice((_HOUR, 30 * _HOUR, _LONGEST_JUMP))
    return draw.uniform(-longest, longest)


def _waits(seed: int) -> int:
    """A checkpoint is seen, and a run has failed, under a clock that is wrong; then it is right again."""
    from prefect.client.schemas.objects import State, StateType

    import flows.watch
    import tasks.watch
    from flows.watch import Watcher, WatchSpec
    from tasks.sources.arrivals import Sighting
    from tasks.vault import open_vault
    from tasks.workspace import workspace

    class Set(datetime):
        at = datetime.now(UTC)

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return cls.at.astimezone(tz)

    flows.watch.datetime = tasks.watch.datetime = Set
    draw, vault, right = random.Random(seed), open_vault(workspace().store), Set.at
    watcher = Watcher(asked=WatchSpec(sources=("none",), settle_seconds=60, backoff_minutes=10), places=workspace())
    for number in range(20):
        wrong = timedelta(seconds=jump(draw))
        sighting = Sighting(address="none", listing=f"{seed}-{number}")
        Set.at = right + wrong
        assert not tasks.watch.is_settled(vault, sighting, 60)
        Set.at += timedelta(seconds=30)
        assert not tasks.watch.is_settled(vault, sighting, 60), "the clock was not wrong meanwhile"
        Set.at = right + timedelta(seconds=130)
        settled = tasks.watch.is_settled(vault, sighting, 60)
        Set.at = right + timedelta(seconds=260)
        assert settled or tasks.watch.is_settled(vault, sighting, 60), f"{wrong}: it never arrives"

        failed = State(type=StateType.FAILED, timestamp=right + wrong)
        Set.at = right + wrong + timedelta(minutes=9)
        assert watcher._standing(failed, 1)[0] == "waiting"
        Set.at = right + timedelta(minutes=16)
        due = watcher._standing(failed, 1)[0]
        Set.at = right + timedelta(minutes=32)
        assert "due" in (due, watcher._standing(failed, 1)[0]), f"{wrong}: it is never run again"
        assert watcher._standing(failed, 3)[0] == "parked"
    return 20
