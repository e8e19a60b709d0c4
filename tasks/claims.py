"""Who has in hand what must be done once, and what was settled about it: a log in the store.

`claims/<digest>/<sequence>.json`: whoever writes a number has seen all before it, and of many who write it at once one
does. An entry takes the matter in hand, or proposes what it came to; the first proposal that stands is what counts, for
all, whenever they look. A claim only keeps the others waiting: it is taken over when its process is gone, or when the
log has not grown for a while by the clock of the one who waits. So one that was merely slow finds, when it comes back,
that its number is taken, reads on and agrees.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from lorp.digest import canonical_json, digest_value
from lorp.errors import RegistryError, StoreError
from tasks.pauses import pauses
from tasks.processes import Process, has_ended, this_process
from tasks.settings import settings
from tasks.store import ObjectStore

LOGGER = logging.getLogger("lorp.claims")

FOLDER = "claims"
_FILE = re.compile(r"(?P<sequence>[0-9]{8})\.json")
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0
_MOST_LOST = 20  # of the claims to what others have given up, each to somebody else

#: Writers in this process that have something in hand.
_AT_IT: set[str] = set()

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of a log.

    Attributes:
        writer: Nobody else's word.
        process: The writer's.
        time: When, UTC, ISO 8601; for people.
        proposal: What it proposes; None for a claim.
    """

    writer: str
    process: Process
    time: str
    proposal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Log:
    """The log of one matter, and its reader's word.

    Attributes:
        store: Where it is.
        subject: What it is about; JSON.
        writer: Nobody else's word.
    """

    store: ObjectStore
    subject: Any
    writer: str = field(default_factory=lambda: uuid4().hex)

    def entries(self) -> dict[int, Entry | None]:
        """All entries by sequence, ascending; None for one that cannot be read.

        Raises:
            OutageError: The store does not answer.
        """
        read = self.store.read_all(self._folder)
        matches = {key: _FILE.fullmatch(key.removeprefix(f"{self._folder}/")) for key in sorted(read)}
        return {int(match["sequence"]): _parsed(read[key]) for key, match in matches.items() if match}

    def add(self, entries: dict[int, Entry | None], proposal: str | None = None) -> bool:
        """Writes the entry that follows on those; False if somebody else has written one.

        Raises:
            StoreError: The store cannot be written.
            OutageError: The store does not answer.
        """
        entry = Entry(
            writer=self.writer,
            process=this_process(),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            proposal=proposal,
        )
        key = f"{self._folder}/{max(entries, default=0) + 1:08d}.json"
        try:
            return self.store.create(key, canonical_json(asdict(entry)))
        except OSError as fault:  # or it would be taken for the registry's
            raise StoreError(f"the store cannot be written: {fault.strerror}", "Make room, or mend it") from None

    @property
    def _folder(self) -> str:
        return f"{FOLDER}/{digest_value(self.subject)}"


def proposals(entries: dict[int, Entry | None]) -> list[str]:
    """What was proposed, in order."""
    return [entry.proposal for entry in entries.values() if entry and entry.proposal is not None]


def once(log: Log, look: Callable[[dict[int, Entry | None]], Value | None], act: Callable[[], Value]) -> Value:
    """What a matter has come to; if it has not yet, acts, unless somebody else is at it: then it is waited for.

    Args:
        log: The matter's.
        look: Finds what it has come to, given the entries so far.
        act: Brings it about. It may have been begun before, and somebody slow may still be at it.

    Raises:
        RegistryError: One after the other takes it over, and nothing comes of it.
        OutageError: The store does not answer.
    """
    patience, lost = _Patience(seconds=settings().claim_seconds), 0
    for pause in pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS):
        entries = log.entries()
        found = look(entries)
        if found is not None:
            return found
        if patience.is_over(entries):
            with _at_it(log.writer):
                if log.add(entries):
                    return act()
            lost += 1
            if lost > _MOST_LOST:
                who = _who(entries[max(entries)] if entries else None)
                raise RegistryError(f"{who} and others before it have not come to an end", "Run again later")
        time.sleep(pause)
    raise AssertionError("pauses never end")


@dataclass(kw_only=True)
class _Patience:
    """How long others are waited for, by this process's own clock, which nobody sets.

    Attributes:
        seconds: Of a log that does not grow, until it is taken over.
        seen: How long the log was when it was last seen to grow.
        since: When that was.
    """

    seconds: float
    seen: int = -1
    since: float = 0.0

    def is_over(self, entries: dict[int, Entry | None]) -> bool:
        """Whether nobody is at it as far as one can tell."""
        if len(entries) != self.seen:
            self.seen, self.since = len(entries), time.monotonic()
        last = entries[max(entries)] if entries else None
        if not entries or (last and _has_given_up(last)):
            return True
        if time.monotonic() - self.since < self.seconds:
            return False
        LOGGER.warning("what %s has in hand is taken over: nothing was heard for %g s", _who(last), self.seconds)
        return True


def _has_given_up(entry: Entry) -> bool:
    """Whether its process is gone, or is this one and no longer at it."""
    if entry.process == this_process():
        return entry.writer not in _AT_IT
    return has_ended(entry.process)


@contextmanager
def _at_it(writer: str) -> Iterator[None]:
    _AT_IT.add(writer)
    try:
        yield
    finally:
        _AT_IT.discard(writer)


def _who(entry: Entry | None) -> str:
    return f"process {entry.process.number} on {entry.process.host}" if entry else "another process"


def _parsed(data: bytes) -> Entry | None:
    try:
        entry: Entry = TypeAdapter(Entry).validate_python(json.loads(data))
        return entry
    except (ValueError, RecursionError, ValidationError):
        return None
