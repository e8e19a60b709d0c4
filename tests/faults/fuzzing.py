"""Fuzzed inputs of every kind that lorp reads -> whether it takes or refuses each, and nothing else."""

import re
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
#: Of a reader that only took or only refused so far: how many more inputs may change that.
_MOST_MORE = 400


#: How libraries say so that raise no MemoryError; torch is one.
_OUT_OF_MEMORY = re.compile(r"can't allocate memory|bad_alloc|out of memory|malloc of size", re.IGNORECASE)


class _Hanging(BaseException):
    """An input took too long."""


@dataclass(frozen=True)
class Found:
    """What came of a batch.

    Attributes:
        counts: Inputs `accepted` and `refused`, of each reader too, and all of each kind that is counted by itself.
        faults: What should not have come of an input, with all that is needed to try it again.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def batch(home: str, pico: str, trial: int, num_named: int, num_others: int) -> dict[str, Any]:
    """Reads that many inputs, in a process whose memory is bounded; to be called in one of its own.

    Args:
        home: One with a store that a run has filled.
        pico: A checkpoint.
        trial: Number of the batch, from which everything is drawn.
        num_named: How many of the kinds that are counted each by itself.
        num_others: How many of all others.
    """
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        known = readers(Path(home), Path(pico), Path(folder))
        for reader in known:  # what is loaded at first use is not what an input takes
            for sample in range(reader.num_samples):
                reader.read_sound(sample)
        before = _resident()
        with _bounded():
            for kinds, number in ((True, num_named), (False, num_others)):
                _try_several([reader for reader in known if bool(reader.kind) is kinds], number, f"{trial}", found)
            for reader in known:
                _try_until_both(reader, f"{trial}", found)
    return {
        "counts": dict(found.counts),
        "kinds": sorted({reader.kind for reader in known if reader.kind}),
        "faults": found.faults[:20],
        "one-sided": [reader.name for reader in known if not _has_both(reader, found)],
        "peak": max(0, _resident() - before) / 1e6,
    }


def _try_several(known: list[Reader], num_inputs: int, seed: str, found: Found) -> None:
    weights = [reader.weight for reader in known]
    for number in range(num_inputs):
        each = f"{seed}/{known[0].name}/{number}"
        _try(Random(each).choices(known, weights)[0], each, found)


def _try_until_both(reader: Reader, seed: str, found: Found) -> None:
    """Goes on with a reader until it took some and refused some: one that does not has read nothing."""
    for number in range(_MOST_MORE):
        if _has_both(reader, found):
            return
        _try(reader, f"{seed}/more/{number}", found)


def _has_both(reader: Reader, found: Found) -> bool:
    return all(found.counts[f"{what} {reader.name}"] for what in ("accepted", "refused"))


def _try(reader: Reader, seed: str, found: Found) -> None:
    data = reader.draw(Random(f"{reader.name} {seed}"))
    what = "refused"
    try:
        with _deadline():
            what = "accepted" if reader.read(data) else "refused"
    except LorpError as fault:
        if said := _greed(fault) or _unfit(str(fault)):
            found.faults.append(f"{reader.name} {seed}: {said}: {str(fault)[:200]!r} of {data[:200]!r}")
    except BaseException as fault:  # a panic of a library in Rust is no Exception
        if isinstance(fault, KeyboardInterrupt):
            raise
        found.faults.append(f"{reader.name} {seed}: {type(fault).__name__}: {str(fault)[:200]!r} of {data[:200]!r}")
    found.counts.update((what, f"{what} {reader.name}"))
    if reader.kind:
        found.counts[reader.kind] += 1


def _greed(fault: BaseException) -> str | None:
    """That an error of lorp's own hides that an input was allowed to ask for all memory there is."""
    greedy = (each for each in _behind(fault) if isinstance(each, MemoryError) or _OUT_OF_MEMORY.search(str(each)))
    return next((f"it is from {type(each).__name__}: {str(each)[:200]!r}" for each in greedy), None)


def _behind(fault: BaseException) -> list[BaseException]:
    """An error and all from which it came; those that `from None` hides too."""
    known: list[BaseException] = []
    pending: list[BaseException | None] = [fault]
    while pending:
        each = pending.pop()
        if each is not None and all(each is not other for other in known):
            known.append(each)
            pending += [each.__context__, each.__cause__]
    return known


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
