"""What a person sees of a running job: progress bars on a terminal, plain lines elsewhere, all on standard error."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def shown_progress() -> Iterator[None]:
    """While open, shows what the loggers below `lorp` say."""
    console = Console(stderr=True, highlight=False)
    logger = logging.getLogger("lorp")
    logger.setLevel(logging.INFO)
    if not console.is_terminal:
        with _attached(logger, _Lines(console)):
            yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars, _attached(logger, _Bars(console, bars)):
        yield


@contextmanager
def _attached(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    """A line a message; of a long task its beginning, its end, and one every few seconds between."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._last = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        done, total = getattr(record, "done", None), getattr(record, "total", None)
        now = time.monotonic()
        if done is not None and done not in (0, total) and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        self._console.print(Text(record.getMessage()), soft_wrap=True)


class _Bars(logging.Handler):
    """A bar a task that reports steps; other messages above the bars."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__()
        self._console = console
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def emit(self, record: logging.LogRecord) -> None:
        name, done, total = (getattr(record, field, None) for field in ("task", "done", "total"))
        if name is None or done is None:
            self._console.print(Text(record.getMessage()))
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=done, total=total)
        if done == total:
            self._bars.remove_task(self._tasks.pop(name))
