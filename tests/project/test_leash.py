"""A command on a leash ends with its starter, and so does all that it has started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

#: Starts a child in a session of its own, which takes a while to say goodbye, and kills it when asked to end.
PARENT = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True)
print("started", child.pid, flush=True)
signal.signal(signal.SIGTERM, lambda *_: (child.kill(), sys.exit(3)))
while True:
    signal.pause()
"""
CHILD = """
import pathlib, signal, sys, time
def goodbye(*_):
    time.sleep(0.5)
    pathlib.Path(sys.argv[1]).write_text("goodbye")
    sys.exit()
signal.signal(signal.SIGTERM, goodbye)
print("ready", flush=True)
while True:
    signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


def start(log: Path, *command: str) -> subprocess.Popen[bytes]:
    words = (sys.executable, "-m", "flows.installation.leash", str(log), *command)
    return subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)


def wait_for_line(log: Path, text: str) -> None:
    for _ in range(200):
        if log.exists() and text in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text() if log.exists() else "no log")


def let_go(leash: subprocess.Popen[bytes]) -> int:
    assert leash.stdin is not None
    leash.stdin.close()
    return leash.wait(60)


@pytest.fixture
def goodbye(tmp_path: Path) -> Path:
    return tmp_path / "goodbye"


def test_what_a_command_started_says_goodbye_before_the_command_ends(tmp_path: Path, goodbye: Path) -> None:
    log = tmp_path / "log"
    leash = start(log, sys.executable, "-c", PARENT, CHILD, str(goodbye))
    wait_for_line(log, "ready")
    assert let_go(leash) == 3
    assert goodbye.read_text() == "goodbye"


def test_nothing_is_left_when_the_starter_was_killed(tmp_path: Path, goodbye: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-m', 'flows.installation.leash', {str(log)!r}, sys.executable, '-c',"
        f" {PARENT!r}, {CHILD!r}, {str(goodbye)!r}], stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code])
    wait_for_line(log, "ready")
    below = psutil.Process(starter.pid).children(recursive=True)
    assert len(below) == 3
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert goodbye.exists()


def test_a_command_that_ended_leaves_nothing_and_its_status(tmp_path: Path, goodbye: Path) -> None:
    log = tmp_path / "log"
    leash = start(log, sys.executable, "-c", PARENT, CHILD, str(goodbye))
    wait_for_line(log, "ready")
    [command] = psutil.Process(leash.pid).children()
    [child] = command.children()
    os.kill(command.pid, signal.SIGKILL)
    assert leash.wait(60) == 128 + signal.SIGKILL
    assert goodbye.exists()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_command_goes_on_where_nothing_can_be_logged(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    leash = start(tmp_path / "logs" / "log", sys.executable, "-c", "print('x' * 200_000)")
    assert leash.wait(60) == 0


def test_what_does_not_want_to_end_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys; from flows.installation import leash; leash.GRACE = 1.0;"
        f" sys.argv[1:] = {[str(log), sys.executable, '-c', STUBBORN]!r}; sys.exit(leash.main())"
    )
    leash = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, start_new_session=True)
    wait_for_line(log, "ready")
    assert let_go(leash) == 128 + signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of it on Linux alone")
def test_nothing_is_left_when_the_leash_was_killed(tmp_path: Path, goodbye: Path) -> None:
    log = tmp_path / "log"
    leash = start(log, sys.executable, "-c", PARENT, CHILD, str(goodbye))
    wait_for_line(log, "ready")
    below = psutil.Process(leash.pid).children(recursive=True)
    assert len(below) == 2
    leash.kill()
    leash.wait()
    assert psutil.wait_procs(below, timeout=60)[1] == []


def test_what_asks_everybody_to_end_does_not_end_the_leash(tmp_path: Path, goodbye: Path) -> None:
    log = tmp_path / "log"
    leash = start(log, sys.executable, "-c", PARENT, CHILD, str(goodbye))
    wait_for_line(log, "ready")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        leash.send_signal(number)
    time.sleep(1)
    assert leash.poll() is None
    assert let_go(leash) == 3
    assert goodbye.read_text() == "goodbye"
