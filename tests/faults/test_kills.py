"""SIGKILL before every effect that a job has on store, ledger and registry; then the same command again."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jobs
from addresses import s3
from buckets import scratch, uploads
from checks import check_objects, state
from children import Ended, child
from effects import Effects, points
from pico import make_pico
from rows import trials

from tasks.store.s3 import S3Store
from tasks.vault import open_vault

#: The least that S3 takes.
_PART_BYTES = 5 << 20

#: The life of a model, a command a step.
STEPS: tuple[Callable[[Path, int], Any], ...] = (
    lambda source, trial: jobs.recompress(source, **_recipe(trial, 2)),
    lambda source, trial: jobs.recompress(source, **_recipe(trial, 1)),
    lambda source, trial: jobs.reject(source, **_recipe(trial, 3)),
    lambda *_: jobs.collect_garbage(),
    lambda *_: jobs.promote("pico", 1),
    lambda *_: jobs.promote("pico", 2),
    lambda *_: jobs.roll_back("pico"),
)


def _recipe(trial: int, count: int) -> dict[str, Any]:
    """Every third trial heals; no two are of the same seed."""
    calibration = {**jobs.RECIPE["calibration"], "seed": trial}
    healing = {"method": "linear", "num_windows": 8} if trial % 3 == 1 else {"method": "none"}
    return {"pruning": {**jobs.PRUNING, "remove": count}, "calibration": calibration, "healing": healing}


@dataclass(frozen=True, kw_only=True)
class Life:
    """A model's life in one home, put back before each step as often as that is asked for.

    Attributes:
        source: The checkpoint.
        home: Where everything is.
        trial: Number of the trial.
        bucket: Where its store is, unless it is under its home.
        prefix: The store's prefix there.
        key: What signs its records and entries, if anything does.
    """

    source: Path
    home: Path
    trial: int
    bucket: str | None = None
    prefix: str = ""
    key: Path | None = None

    def step(self, number: int, kill_before: int | None = None) -> Ended:
        """One command; what it did, and what is there afterwards."""
        store = f"s3://{self.bucket}/{self.prefix}" if self.bucket else None
        environment = {"LORP_HOME": str(self.home), "LORP_STORE": store, "MLFLOW_TRACKING_URI": None}
        environment["LORP_SIGNING_KEY"] = str(self.key) if self.key else None
        return child(_step, number, str(self.source), self.trial, kill_before, environment=environment).end()

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
    """The effects of a command, the stages that it made, and what is there in the end."""
    from tasks import stage

    made: list[str] = []
    make = stage.make

    def noted(vault: Any, request: Any) -> Any:
        made.append(request.key)
        return make(vault, request)

    stage.make = noted
    S3Store.__init__.__defaults__ = (_PART_BYTES,)
    check_objects()
    effects = Effects(kill_before)
    effects.watch()
    STEPS[number](Path(source), trial)
    named = list(effects.names)
    open_vault.cache_clear()
    return {"effects": named, "made": made, "state": state()}


def test_killed_before_every_effect_and_run_again(
    pico: Path, make_home: Callable[[str], Path], signing_keys: tuple[Path, Path]
) -> None:
    tried = trials("kills")
    for number in tried.left():
        life = Life(source=pico, home=make_home(f"life-{number}"), trial=number, key=signing_keys[0])
        with tried.trial(number) as figures:
            figures["kills"] = 0
            for step in range(len(STEPS)):
                life.keep(step)
                undisturbed = life.step(step).whole()
                for point in points(undisturbed["effects"], number, tried.is_slice):
                    where = f"step {step}, before {undisturbed['effects'][point]} ({point})"
                    life.back(step)
                    assert life.step(step, point).status == -signal.SIGKILL, where
                    finished = {path.stem for path in (life.home / "store" / "stages").glob("*.json")}
                    check_finished(life.step(step), finished, undisturbed["state"], where)
                    figures["kills"] += 1
        shutil.rmtree(life.home.parent)
        life.home.parent.mkdir()


def test_killed_before_every_effect_on_a_bucket_and_run_again(
    pico: Path, make_home: Callable[[str], Path], s3_server: str, shared_bucket: str, aws: None, tmp_path: Path
) -> None:
    tried = trials("kills_s3")
    wide = make_pico(tmp_path / "wide", intermediate_size=5000)  # its weights are sent in parts, its variant's too
    for number in tried.left():
        source = pico if number % 3 else wide
        with tried.trial(number) as figures:
            figures["kills"] = 0
            undisturbed = in_a_bucket(source, make_home("life"), shared_bucket, number).step(0).whole()
            for point in points(undisturbed["effects"], number, tried.is_slice):
                where = f"before {undisturbed['effects'][point]} ({point})"
                life = in_a_bucket(source, make_home("life"), shared_bucket, number)
                assert life.step(0, point).status == -signal.SIGKILL, where
                finished = {Path(name).stem for name in names(shared_bucket, f"{life.prefix}/stages/")}
                check_finished(life.step(0), finished, undisturbed["state"], where)
                assert not uploads(s3_server, f"s3://{shared_bucket}/{life.prefix}"), where
                assert not scratch(life.home), where
                figures["kills"] += 1


def in_a_bucket(source: Path, home: Path, bucket: str, trial: int) -> Life:
    """A life whose store is a new prefix."""
    return Life(source=source, home=home, trial=trial, bucket=bucket, prefix=f"kills/{uuid4().hex}")


def check_finished(again: Ended, finished: set[str], expected: Any, where: str) -> None:
    """The command went well the second time, left what was finished as it was, and came to the same."""
    assert not again.fault, f"{where}: {again.fault}"
    assert not finished & set(again.value["made"]), f"{where}: a finished stage was made again"
    assert again.value["state"] == expected, where


def names(bucket: str, beginning: str) -> list[str]:
    """Names of the objects in a bucket that begin so."""
    return [entry["Key"] for entry in s3().list_objects_v2(Bucket=bucket, Prefix=beginning).get("Contents", [])]
