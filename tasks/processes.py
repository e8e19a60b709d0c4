"""Who a process is, so that another can tell whether it still lives."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_DEAD = frozenset("ZX")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, told from every other one there was.

    Attributes:
        host: Its machine's name, for people.
        machine: The machine's start and the processes' name space; empty where the system does not say.
        number: Its id there.
        began: When it did, in ticks of that machine since its start; empty where the system does not say.
    """

    host: str
    machine: str
    number: int
    began: str


def this_process() -> Process:
    """The one that asks."""
    state = _state(os.getpid())
    return Process(host=platform.node(), machine=_machine(), number=os.getpid(), began=state[1] if state else "")


def has_ended(process: Process) -> bool:
    """Whether it is known to be gone; of a process of another machine that is never known."""
    if not process.machine or not process.began or process.machine != _machine():
        return False
    state = _state(process.number)
    return state is None or state[0] in _DEAD or state[1] != process.began


def _machine() -> str:
    """Neither goes by a clock: an id that is new at each start, and the name space."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _state(number: int) -> tuple[str, str] | None:
    """State and start of a process; None if there is none, or the system does not say."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    return fields[0], fields[19]
