"""Runs one command for as long as its starter lives, and keeps what it says in a log that does not grow without end.

    python -m flows.installation.leash LOG COMMAND...

Standard input is a pipe to the starter that nothing is written to. When it closes, however the starter ended, the
command and all that it started are asked to end; whatever is left is killed. Signals that ask the leash itself to end
do nothing; when it is killed, the system asks the command to end, on Linux. Exit status: the command's, or 128 and the
number of the signal that ended it.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

#: Seconds that a command has to end once it was asked.
GRACE = 20.0
_LEFT_BEHIND = 10.0
_LAST_WORDS = 1.0
#: Seconds between its starter's end and its own at most: for those below, the command, what is left, and the log.
LONGEST = _LEFT_BEHIND + GRACE + _LEFT_BEHIND + _LAST_WORDS
_LOG_BYTES, _OLD_LOGS = 10_000_000, 3
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIGNALLED = 128


def main() -> int:
    """Runs the command of `sys.argv`."""
    log, *command = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stay)
    # Processes whose parents end become children of this one, so that none is lost sight of.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=partial(_prctl, _PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509  # there are no threads yet
    )  # fmt: skip
    assert process.stdout is not None
    said = threading.Thread(target=_keep, args=(process.stdout, log), daemon=True)
    said.start()
    ended = threading.Event()
    threading.Thread(target=_end_with_starter, args=(process.pid, ended), daemon=True).start()
    status = _wait(process.pid)
    ended.set()
    _end_all_left()
    said.join(_LAST_WORDS)
    return status


def _stay(_signal: int, _frame: FrameType | None) -> None:
    """Does nothing; a signal that is ignored would be ignored by the command too."""


def _prctl(option: int, value: int) -> None:
    """Asks something of the system for this process; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _keep(output: IO[bytes], log: str) -> None:
    logger = logging.getLogger("lorp.leash")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    # What cannot be logged is read all the same: the command would wait for that for ever.
    with suppress(OSError):
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        logger.addHandler(RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=_OLD_LOGS, encoding="utf-8"))
    for line in output:
        logger.info("%s", line.decode(errors="replace").rstrip())


def _end_with_starter(pid: int, ended: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)
    with suppress(psutil.NoSuchProcess):
        # Those below first: a worker kills the runs in its hands, which then cannot say how they ended.
        _wait_all(_terminate(psutil.Process(pid).children(recursive=True)))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not ended.wait(GRACE):
        _kill(psutil.Process().children(recursive=True))


def _wait(pid: int) -> int:
    """The command's exit status; orphans that end earlier are let go."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _SIGNALLED - code


def _end_all_left() -> None:
    _kill(_wait_all(_terminate(psutil.Process().children(recursive=True))))


def _terminate(processes: list[psutil.Process]) -> list[psutil.Process]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    return processes


def _wait_all(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended in time; one whose parent has not yet looked at its status has ended."""
    until = time.monotonic() + _LEFT_BEHIND
    left = processes
    while (left := [process for process in left if _runs(process)]) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
