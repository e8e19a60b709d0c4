"""A disk that fills up during a run: the run ends with one line, and the same command ends right once there is room."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jobs
import pytest
from checks import state
from children import Ended, child
from rows import trials

_SIZE = 64 << 20
#: Shares of what a run writes that are left to it.
_LEVELS = 2


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A small file system with a home on it."""

    home: Path
    source: Path

    @property
    def free(self) -> int:
        """Bytes."""
        return shutil.disk_usage(self.home).free

    def leave(self, free: int) -> None:
        """Fills it up but for so many bytes."""
        with self._filling.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, self.free - free))

    def make_room(self) -> None:
        """Takes that away."""
        self._filling.unlink()

    def recompress(self, trial: int, blind: bool = False) -> Ended:
        """The command; if it is blind, every disk seems to it to be empty."""
        return self._child(_recompress, str(self.source), trial, blind).end()

    def state(self) -> Any:
        """What is there, all of it sound."""
        return self._child(state).end().whole()

    def check_what_is_there(self) -> None:
        """Whatever a manifest names, or names itself by its digest, is whole."""
        self._child(_check_whole).end().whole()

    @property
    def _filling(self) -> Path:
        return self.home.parent / "filling"

    def _child(self, act: Callable[..., Any], *arguments: Any) -> Any:
        environment = {"LORP_HOME": str(self.home), "MLFLOW_TRACKING_URI": None, "TMPDIR": str(self.home.parent)}
        return child(act, *arguments, environment=environment)


@pytest.fixture
def disk(empty_registry: Path, pico: Path, tmp_path: Path) -> Iterator[Disk]:
    """An empty one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield Disk(home=place / "home", source=pico)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_run_whose_disk_fills_up_ends_with_a_line_and_then_right(disk: Disk, empty_registry: Path) -> None:
    tried = trials("full_disk")
    for number in tried.left():
        draw = random.Random(number)
        with tried.trial(number) as figures:
            _begin(disk, empty_registry)
            before = disk.free
            assert not disk.recompress(number).fault
            expected, written = disk.state(), before - disk.free
            figures |= {"full disks": 0, "refused before a write": 0, "ran into the end": 0}
            for level in range(1 if tried.is_slice else _LEVELS):
                _begin(disk, empty_registry)
                # One that does not see that the room is gone runs into the end of the disk, as it does where another
                # process was quicker.
                blind = draw.random() < 0.7
                free = int(written * (level + draw.random()) / _LEVELS)
                disk.leave(free)
                ended = disk.recompress(number, blind)
                where = f"{free} of {written} bytes, {'blind' if blind else 'seeing'}"
                _check_said(ended, where)
                disk.check_what_is_there()
                disk.make_room()
                again = disk.recompress(number)
                assert not again.fault, f"{where}: {again.fault}"
                assert disk.state() == expected, where
                figures["full disks"] += ended.fault is not None
                figures["ran into the end"] += bool(ended.fault and "are needed" not in ended.fault[1])
                figures["refused before a write"] += bool(ended.fault and "are needed" in ended.fault[1])
                assert not list((disk.home / "store" / ".scratch").iterdir()), where


def _begin(disk: Disk, empty_registry: Path) -> None:
    for path in disk.home.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    disk.home.mkdir()
    shutil.copy(empty_registry, disk.home / "mlflow.db")


def _check_said(ended: Ended, where: str) -> None:
    """It went well, if what was left has just sufficed; or it says what is the matter, and what to do."""
    if ended.fault:
        kinds, said, trace = ended.fault
        assert "SpaceError" in kinds.split(","), f"{where}: {trace}"
        assert len(said.splitlines()) == 1
        assert "Make room" in said or "Give another" in said, said
    else:
        assert ended.status == 0, f"{where}: it ended with {ended.status}"


def _recompress(source: str, trial: int, blind: bool) -> None:
    import lorp.disk

    lorp.disk._MARGIN_BYTES = 1 << 14  # what is written is small, and so is the disk
    if blind:
        lorp.disk.shutil = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=1 << 40))
    calibration = {**jobs.RECIPE["calibration"], "seed": trial}
    healing = {"method": "linear", "num_windows": 8} if trial % 2 else {"method": "none"}
    jobs.recompress(Path(source), calibration=calibration, healing=healing)


def _check_whole() -> None:
    from tasks.audit.objects import Objects
    from tasks.audit.whole import store_step
    from tasks.store import store_to_read
    from tasks.workspace import workspace

    store = store_to_read(workspace().store)
    if store:
        assert not store_step(Objects(store)).faults
