"""Where stages run: in the flow's own thread, or on the workers of a Dask cluster through Prefect's task runner.

In the flow's thread one stage runs after the other, so that a process holds one model at a time and ends at once when
it is told to. On a cluster, work that does not rest on other work is asked for at the same time, by threads of the flow
that do nothing but wait.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lorp.errors import OutageError, SpecError
from tasks.settings import settings
from tasks.stage import Request
from tasks.vault import open_vault

if TYPE_CHECKING:
    from prefect import Task
    from prefect_dask.task_runners import DaskTaskRunner

    StageTask = Task[[str, Request], dict[str, Any]]

R = TypeVar("R")
_JOINING_SECONDS = 60  # within which a worker must have joined


class Runner(Protocol):
    """Runs stages as tasks of the current flow run."""

    def run(self, task: "StageTask", store: str, request: Request) -> str:
        """Runs a stage to its end; the key under which its manifest stands."""

    def at_once(self, parts: Sequence[Callable[[], R]]) -> list[R]:
        """Runs parts of a job of which none rests on another; what they return, in their order."""


@dataclass(frozen=True, kw_only=True)
class InFlow:
    """Runs stages in the flow's own thread."""

    _done: set[str] = field(default_factory=set)

    def run(self, task: "StageTask", store: str, request: Request) -> str:
        """Calls the task, which runs whatever Prefect remembers unless the result is intact in the store.

        One that this flow run has done already is no task of its again while its result is intact.
        """
        intact = open_vault(store).result(request.key) is not None
        if not intact or request.key not in self._done:
            task.with_options(refresh_cache=not intact)(store, request)
            self._done.add(request.key)
        return request.key

    def at_once(self, parts: Sequence[Callable[[], R]]) -> list[R]:
        """One after the other."""
        return [part() for part in parts]


@dataclass(frozen=True, kw_only=True)
class OnDask:
    """Runs stages on a cluster's workers.

    Attributes:
        tasks: Prefect's task runner, started.
    """

    tasks: "DaskTaskRunner"
    _reading: Lock = field(default_factory=Lock)
    _turns: dict[str, Lock] = field(default_factory=dict)
    _ended: dict[str, str | Exception] = field(default_factory=dict)

    def run(self, task: "StageTask", store: str, request: Request) -> str:
        """Submits the task, once a flow run: whoever asks for the same waits for it, and shares its failure too.

        The worker looks for the result in the store, and its key is the worker's: timings are keyed by the processor
        that they are of. What reads files that lie here is not submitted.
        """
        if request.READS_FILES:
            with self._reading:
                return InFlow().run(task, store, request)
        same = repr(replace(request, label=""))
        with self._turns.setdefault(same, Lock()):
            if same not in self._ended:
                try:
                    self._ended[same] = self._submitted(task, _shared(store), request)
                except Exception as fault:
                    self._ended[same] = fault
            ended = self._ended[same]
        if isinstance(ended, Exception):
            raise ended
        return ended

    def at_once(self, parts: Sequence[Callable[[], R]]) -> list[R]:
        """A thread each. Where one fails, the others end first: what they make is kept."""
        threads = ThreadPoolExecutor(max_workers=len(parts))
        try:
            running = [threads.submit(copy_context().run, part) for part in parts]
            threads.shutdown(wait=True)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in running]

    def _submitted(self, task: "StageTask", store: str, request: Request) -> str:
        from distributed import CancelledError, KilledWorker
        from distributed.client import ClosedClientError
        from prefect.cache_policies import NO_CACHE

        # What Prefect keeps of results would lie on the workers' disks.
        uncached = task.with_options(cache_policy=NO_CACHE, persist_result=False)
        try:
            return str(self.tasks.submit(uncached, {"store": store, "request": request}).result()["key"])
        except (CancelledError, ClosedClientError, KilledWorker) as fault:
            raise OutageError(
                f"the cluster lost {request.title}: {fault}", "Look at its workers' logs, and run again to resume"
            ) from None


@contextmanager
def stage_runner() -> Iterator[Runner]:
    """What the setting says, for as long as a flow runs.

    Raises:
        SpecError: As `check_runner` does.
        OutageError: The scheduler does not answer, or has no worker.
    """
    check_runner()
    scheduler = settings().dask_scheduler
    if scheduler is None:
        yield InFlow()
        return
    from prefect_dask.task_runners import DaskTaskRunner

    with DaskTaskRunner(address=scheduler) as tasks:
        try:
            client = tasks.client
        except OSError as fault:
            raise OutageError(
                f"no Dask scheduler answers at {scheduler}: {fault}", "Start it, or mend LORP_TASK_RUNNER"
            ) from None
        try:
            client.wait_for_workers(1, timeout=_JOINING_SECONDS)
        except TimeoutError:
            raise OutageError(
                f"the Dask scheduler at {scheduler} has no worker",
                f"Start one: OMP_NUM_THREADS=1 dask worker {scheduler} --nthreads 1 --memory-limit 0",
            ) from None
        yield OnDask(tasks=tasks)


def check_runner() -> None:
    """Finds what can be found wrong with the setting before anything is started.

    Raises:
        SpecError: It is none, a package is missing, or workers would not know where flow runs are recorded.
    """
    if settings().dask_scheduler is None:
        return
    from prefect.settings import PREFECT_API_URL

    if find_spec("prefect_dask") is None:
        raise SpecError("LORP_TASK_RUNNER asks for Dask, which is not installed", "Run: pip install 'prefect-dask<0.4'")
    if PREFECT_API_URL.value() is None:
        raise SpecError(
            "LORP_TASK_RUNNER asks for Dask, and PREFECT_API_URL is not set: each worker would start its own server",
            "Run prefect server start, and set PREFECT_API_URL to an address that workers reach",
        )


def _shared(store: str) -> str:
    """A store's address as workers understand it, whatever their working folder."""
    return store if "://" in store else str(Path(store).expanduser().absolute())
