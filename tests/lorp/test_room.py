"""Room on a disk is asked for before much is written, and its lack is said in one line."""

import errno
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lorp.disk import check_room, full_told, space_fault
from lorp.errors import SpaceError
from lorp.healing.patch import write_weights
from lorp.spill import Spill

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Leaves so many bytes free on every disk."""

    def leave(free: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 10**12 - free, free))

    return leave


def test_what_does_not_fit_is_refused_with_both_figures(left: Callable[[int], None], tmp_path: Path) -> None:
    left(1_100_000_000)
    with pytest.raises(SpaceError) as caught:
        check_room(tmp_path / "not" / "there", 3_200_000_000)
    assert "3.3 GB are needed" in str(caught.value)
    assert "1.1 GB are free" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("free", "fits"), [(103_000_000, True), (101_000_000, False)])
def test_there_is_a_margin(left: Callable[[int], None], tmp_path: Path, free: int, fits: bool) -> None:
    left(free)
    if fits:
        check_room(tmp_path, 100_000_000)
    else:
        with pytest.raises(SpaceError):
            check_room(tmp_path, 100_000_000)


def test_nothing_is_written_where_it_does_not_fit(left: Callable[[int], None], tmp_path: Path) -> None:
    left(1000)
    with pytest.raises(SpaceError):
        write_weights({"weight": torch.zeros(10)}, tmp_path / "weights")
    with Spill(memory_bytes=0, folder=tmp_path) as spill:
        with pytest.raises(SpaceError):
            spill[0] = torch.zeros(10)
        assert not list(tmp_path.glob("*/*"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        ValueError("(sqlite3.OperationalError) database or disk is full"),
    ],
)
def test_a_full_disk_is_said_in_one_line_whoever_ran_into_it(fault: Exception, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="no room left at"), full_told(tmp_path):
        raise fault


def test_other_faults_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), full_told(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert space_fault(ValueError("nothing to do with it")) is None
