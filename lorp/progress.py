"""Progress of long work, as log records: whoever runs the work decides how to show them.

A record of the logger `lorp.progress` has the attributes `task` (str), `done` and `total` (int).
"""

import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

LOGGER = logging.getLogger("lorp.progress")

Item = TypeVar("Item")


def track(items: Sequence[Item], task: str) -> Iterator[Item]:
    """Yields the items, logging how many are done before the first and after each."""
    report(task, 0, len(items))
    for done, item in enumerate(items, start=1):
        yield item
        report(task, done, len(items))


def report(task: str, done: int, total: int) -> None:
    """Logs that `done` of `total` steps of a task are done."""
    LOGGER.info("%s: %d of %d", task, done, total, extra={"task": task, "done": done, "total": total})
