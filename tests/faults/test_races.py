"""Eight processes start the same run at once: one version, one entry, one run, whoever of them is killed."""

import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from uuid import uuid4

import jobs
import pytest
from buckets import s3_environment, scratch
from checks import state
from children import Ended, barrier, child
from effects import Effects
from registries import num_runs
from rows import trials

NUM_PROCESSES = 8
NUM_KILLED = 3
#: So many effects everyone has, also who comes last.
_CERTAIN = 5
#: What differs between those who did the same: whose run it was, and where it is on their own disk.
OWN = ("run", "report")


@dataclass(frozen=True, kw_only=True)
class Field:
    """Where a race takes place.

    Attributes:
        source: The checkpoint.
        name: The model's.
        environments: Of each process.
        machines: Whether each is to look like one of a machine of its own, so that none is known to be dead.
    """

    source: Path
    name: str
    environments: list[dict[str, str | None]]
    machines: bool

    def race(self, kills: list[int | None]) -> list[Ended]:
        """All at once; those of a number are killed before that effect of theirs."""
        gate = barrier(len(self.environments))
        arguments = (str(self.source), self.name, self.machines)
        started = [
            child(_run, *arguments, kill, gate, environment=environment)
            for kill, environment in zip(kills, self.environments, strict=True)
        ]
        return [one.end() for one in started]

    def num_runs(self) -> int:
        """How many runs it has in the registry."""
        environment = self.environments[0]
        uri = environment["MLFLOW_TRACKING_URI"] or f"sqlite:///{environment['LORP_HOME']}/mlflow.db"
        return num_runs(uri, self.name)

    def state(self) -> Any:
        """What is there."""
        return child(state, environment=self.environments[0]).end().whole()


def _run(source: str, name: str, machines: bool, kill_before: int | None, gate: Barrier) -> dict[str, Any]:
    if machines:
        sys.modules["tasks.processes"]._machine = lambda: f"machine of {os.getpid()}"  # type: ignore[attr-defined]
    effects = Effects(kill_before)
    effects.watch()
    gate.wait()
    outcome = jobs.recompress(Path(source), name)
    return {"outcome": {key: value for key, value in outcome.items() if key not in OWN}, "effects": len(effects.names)}


def test_eight_start_the_same_run(
    pico: Path, make_home: Callable[[str], Path], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tried = trials("races")
    undisturbed = _undisturbed(pico, make_home("undisturbed"))
    for number in tried.left():
        in_bucket, killed = number % 2 == 1, number // 2 % 2 == 1
        with tried.trial(number) as figures:
            field = _in_bucket(pico, number, request, tmp_path) if in_bucket else _in_folder(pico, number, make_home)
            _check_race(field, _kills(number) if killed else [None] * NUM_PROCESSES, undisturbed, figures)


def _undisturbed(pico: Path, home: Path) -> Any:
    """What is there after a single run, in a home of its own."""
    environment: dict[str, str | None] = {"LORP_HOME": str(home), "LORP_STORE": None, "MLFLOW_TRACKING_URI": None}
    field = Field(source=pico, name="pico", environments=[environment], machines=False)
    field.race([None])[0].whole()
    return field.state()


def _check_race(field: Field, kills: list[int | None], undisturbed: Any, figures: dict[str, float]) -> None:
    ended = field.race(kills)
    died = [one for one in ended if one.status == -signal.SIGKILL]
    figures.update({"processes": len(ended), "killed": len(died)})
    assert bool(died) == any(kill is not None for kill in kills)
    outcomes = [one.whole()["outcome"] for one in ended if one not in died]
    assert len(outcomes) >= NUM_PROCESSES - NUM_KILLED
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert field.num_runs() == 1
    there = field.state()
    assert there["digests"] == undisturbed["digests"]
    [model], [alone] = there["models"].values(), undisturbed["models"].values()
    [[version, verdict]] = model["versions"]  # by a server it is a text, by a database a number
    assert verdict == alone["versions"][0][1]
    assert model["entries"] == [["registered", int(version), verdict]]
    assert model["aliases"] == {"candidate": outcomes[0]["model_version"]}
    left = [path for environment in field.environments for path in scratch(Path(str(environment["LORP_HOME"])))]
    assert bool(died) or not left


def _kills(number: int) -> list[int | None]:
    """Before which of their effects some are killed; late ones are likelier to be those of registering.

    The first dies for certain; the others may have too few effects, since they find done what another has done.
    """
    chosen = random.Random(number)
    points = [chosen.randrange(most) for most in (_CERTAIN, 60, 60)]
    return [*points, *[None] * (NUM_PROCESSES - NUM_KILLED)]


def _in_folder(pico: Path, number: int, make_home: Callable[[str], Path]) -> Field:
    home = make_home(f"race-{number}")
    if number % 10 == 4:
        (home / "mlflow.db").unlink()  # all find that there is none, and make it
    environment = {"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None}
    return Field(source=pico, name="pico", environments=[environment] * NUM_PROCESSES, machines=False)


def _in_bucket(pico: Path, number: int, request: pytest.FixtureRequest, tmp_path: Path) -> Field:
    endpoint, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("shared_bucket")
    store, server = f"s3://{bucket}/races/{uuid4().hex}", request.getfixturevalue("mlflow_server")
    settings = {"MLFLOW_TRACKING_URI": server, "LORP_CLAIM_SECONDS": "3"}
    environments = [
        s3_environment(endpoint, store, tmp_path / f"home-{number}-{each}") | settings for each in range(NUM_PROCESSES)
    ]
    return Field(source=pico, name=f"pico-{uuid4().hex}", environments=environments, machines=True)
