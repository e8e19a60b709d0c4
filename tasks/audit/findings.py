"""What an audit found: steps, each of which holds or does not, and for what does not the object and the reason."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lorp.errors import OutageError, StoreError

LOGGER = logging.getLogger("lorp.audit")

#: It holds; it does not; it could not be looked at, which is no fault.
State = Literal["holds", "fails", "not done"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is not as it should be.

    Attributes:
        object: What: a key of the store, an alias, an entry.
        reason: Why.
    """

    object: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was looked at.

    Attributes:
        about: Of what: a run, a ledger, the store.
        name: What was asked.
        state: What came of it.
        said: More about that, for people.
        faults: What is wrong.
    """

    about: str
    name: str
    state: State
    said: str
    faults: tuple[Fault, ...] = ()


def held(about: str, name: str, said: str) -> Step:
    """A step that holds."""
    return Step(about=about, name=name, state="holds", said=said)


def not_done(about: str, name: str, why: str) -> Step:
    """A step that could not be looked at."""
    return Step(about=about, name=name, state="not done", said=why)


def judged(about: str, name: str, faults: list[Fault], said: str) -> Step:
    """A step that holds where there are no faults."""
    if not faults:
        return held(about, name, said)
    told = faults[0].reason if len(faults) == 1 else f"{len(faults)} faults"
    return Step(about=about, name=name, state="fails", said=told, faults=tuple(faults))


def guarded(about: str, name: str, where: str, look: Callable[[], Step]) -> Step:
    """A step; where looking ends in whatever error, what lies in the store is at fault, for nothing there is trusted.

    Raises:
        StoreError: The store cannot be used.
        OutageError: It does not answer.
    """
    try:
        return look()
    except (StoreError, OutageError):
        raise
    except Exception as fault:
        LOGGER.debug("%s: %s", about, name, exc_info=True)
        known = getattr(fault, "reason", None)
        reason = known or f"it cannot be looked into: {type(fault).__name__} {fault}"
        return judged(about, name, [Fault(object=where, reason=reason)], "")


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All that was looked at.

    Attributes:
        target: What was asked about.
        everything: Whether that was everything.
        steps: In their order.
        num_objects: Objects whose bytes were read.
        num_bytes: Their bytes, each read once.
    """

    target: str
    everything: bool
    steps: tuple[Step, ...]
    num_objects: int
    num_bytes: int

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Everything that is wrong, each thing once."""
        return tuple(dict.fromkeys(fault for step in self.steps for fault in step.faults))

    @property
    def sound(self) -> bool:
        """Whether nothing is."""
        return all(step.state != "fails" for step in self.steps)
