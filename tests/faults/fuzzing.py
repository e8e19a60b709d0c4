"""Fuzzed inputs of every kind that lorp reads -> whether it takes or refuses each, and nothing else."""

import resource
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from readers import Reader, readers

from lorp.errors import LorpError

#: Of address space beyond what a process has when it begins, in bytes; and of time for one input, in seconds.
_MORE_MEMORY, _PATIENCE = 1 << 31, 20
_LONGEST_MESSAGE = 4_000


class _Hanging(BaseException):
    """An input took too long."""


@dataclass(frozen=True)
class Found:
    """What came of a batch.

    Attributes:
        counts: Inputs `accepted` and `refused`, of each kind too.
        faults: What should not have come of an input, with all that is needed to try it again.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def batch(home: str, pico: str, trial: int, num_inputs: int) -> dict[str, Any]:
    """Reads that many inputs, in a process whose memory is bounded; to be called in one of its own.

    Args:
        home: One with a store that a run has filled.
        pico: A checkpoint.
        trial: Number of the batch, from which everything is drawn.
        num_inputs: How many.
    """
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        known = readers(Path(home), Path(pico), Path(folder))
        for reader in known:  # what is loaded at first use is not what an input takes
            for sample in range(reader.num_samples):
                reader.read_sound(sample)
        before = _resident()
        with _bounded():
            for number in range(num_inputs):
                _try(known, f"{trial}/{number}", found)
    return {"counts": dict(found.counts), "faults": found.faults[:20], "peak": max(0, _resident() - before) / 1e6}


def _try(known: list[Reader], seed: str, found: Found) -> None:
    draw = Random(seed)
    reader = draw.choices(known, [each.weight for each in known])[0]
    data = reader.draw(draw)
    what = "refused"
    try:
        with _deadline():
            what = "accepted" if reader.read(data) else "refused"
    except LorpError as fault:
        if said := _unfit(str(fault)):
            found.faults.append(f"{reader.name} {seed}: {said}: {str(fault)[:200]!r}")
    except BaseException as fault:  # a panic of a library in Rust is no Exception
        if isinstance(fault, KeyboardInterrupt):
            raise
        found.faults.append(f"{reader.name} {seed}: {type(fault).__name__}: {str(fault)[:200]!r} of {data[:200]!r}")
    found.counts.update((what, f"{what} {reader.name}"))


def _unfit(message: str) -> str | None:
    """Why a message is none to show."""
    if not message.isprintable():
        return "its message is not one printable line"
    return "its message is too long" if len(message) > _LONGEST_MESSAGE else None


@contextmanager
def _bounded() -> Iterator[None]:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + _MORE_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _deadline() -> Iterator[None]:
    def late(*_: object) -> None:
        raise _Hanging(f"not read in {_PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _resident() -> int:
    """Most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
