"""SIGKILL before every effect that a job has on store, ledger and registry; then the same command again."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jobs
from checks import state
from children import Ended, child
from effects import Effects
from rows import trials

#: The life of a model, a command a step.
STEPS: tuple[Callable[[Path, int], Any], ...] = (
    lambda source, trial: jobs.recompress(source, **_recipe(trial, 2)),
    lambda source, trial: jobs.recompress(source, **_recipe(trial, 1)),
    lambda *_: jobs.promote("pico", 1),
    lambda *_: jobs.promote("pico", 2),
    lambda *_: jobs.roll_back("pico"),
)


def _recipe(trial: int, count: int) -> dict[str, Any]:
    """Every third trial heals; no two are of the same seed."""
    calibration = {**jobs.RECIPE["calibration"], "seed": trial}
    healing = {"method": "linear", "num_windows": 8} if trial % 3 == 1 else {"method": "none"}
    return {"pruning": {"remove": count, "method": ["shortgpt"]}, "calibration": calibration, "healing": healing}


@dataclass(frozen=True, kw_only=True)
class Life:
    """A model's life in one home, put back before each step as often as that is asked for.

    Attributes:
        source: The checkpoint.
        home: Where everything is.
        trial: Number of the trial.
    """

    source: Path
    home: Path
    trial: int

    def step(self, number: int, kill_before: int | None = None) -> Ended:
        """One command."""
        environment = {"LORP_HOME": str(self.home), "MLFLOW_TRACKING_URI": None}
        return child(_step, number, str(self.source), self.trial, kill_before, environment=environment).end()

    def state(self) -> Any:
        """What is there."""
        return child(state, environment={"LORP_HOME": str(self.home), "MLFLOW_TRACKING_URI": None}).end().whole()

    def keep(self, number: int) -> None:
        """Notes how things are before a step."""
        shutil.copytree(self.home, self._kept(number), symlinks=True)

    def back(self, number: int) -> None:
        """Puts things back as they were before it."""
        shutil.rmtree(self.home)
        shutil.copytree(self._kept(number), self.home, symlinks=True)

    def _kept(self, number: int) -> Path:
        return self.home.with_name(f"before-{number}")


def _step(number: int, source: str, trial: int, kill_before: int | None) -> dict[str, Any]:
    """The effects of a command, and the stages that it made."""
    from tasks import stage

    made: list[str] = []
    make = stage.make

    def noted(vault: Any, request: Any) -> Any:
        made.append(request.key)
        return make(vault, request)

    stage.make = noted
    effects = Effects(kill_before)
    effects.watch()
    STEPS[number](Path(source), trial)
    return {"effects": effects.names, "made": made}


def test_killed_before_every_effect_and_run_again(pico: Path, make_home: Callable[[str], Path]) -> None:
    tried = trials("kills")
    for number in tried.left():
        life = Life(source=pico, home=make_home(f"life-{number}"), trial=number)
        with tried.trial(number) as figures:
            figures["kills"] = figures["steps undisturbed"] = 0
            for step in range(len(STEPS)):
                life.keep(step)
                undisturbed = life.step(step).whole()
                expected = life.state()
                figures["steps undisturbed"] += 1
                for point in range(0, len(undisturbed["effects"]), 7 if tried.is_slice else 1):
                    where = f"step {step}, before {undisturbed['effects'][point]} ({point})"
                    life.back(step)
                    assert life.step(step, point).status == -signal.SIGKILL, where
                    finished = {path.stem for path in (life.home / "store" / "stages").glob("*.json")}
                    again = life.step(step)
                    assert not again.fault, f"{where}: {again.fault}"
                    assert not finished & set(again.value["made"]), f"{where}: a finished stage was made again"
                    assert life.state() == expected, where
                    figures["kills"] += 1
        shutil.rmtree(life.home.parent)
        life.home.parent.mkdir()
