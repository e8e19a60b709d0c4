"""Prefect's side of a stage: one task, one cache policy.

Prefect's cache is advice, the object store is truth: the key is the stage's own, results are JSON (never pickled, never
decoded into objects), and a stage whose result is not intact in the store runs again whatever Prefect remembers.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer

from lorp.errors import IntegrityError, LorpError
from tasks.runner import Runner
from tasks.stage import Request, run_stage
from tasks.usage import note_use
from tasks.vault import Manifest, open_vault

P = ParamSpec("P")
R = TypeVar("R")

PLAIN_JSON = JSONSerializer(object_encoder=None, object_decoder=None)


def stage_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """A stage's own key is its cache key."""
    request: Request = parameters["request"]
    return request.key


def can_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure may not happen again: faults of the outside world, not wrong input or wrong code."""
    fault = getattr(state.data, "result", state.data)
    return fault.can_pass if isinstance(fault, LorpError) else isinstance(fault, OSError)


@task(
    task_run_name="{request.title}",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=stage_key),
    persist_result=True,
    result_serializer=PLAIN_JSON,
    retries=2,
    retry_delay_seconds=[1, 5],
    retry_condition_fn=can_pass,
)
def stage(store: str, request: Request) -> dict[str, Any]:
    """Runs one stage; returns its manifest as JSON."""
    return asdict(run_stage(open_vault(store), request))


def outside(name: str, run_name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Makes a task of what changes the outside world: never cached, tried again after faults that can pass."""
    return task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=2,
        retry_delay_seconds=[1, 5],
        retry_condition_fn=can_pass,
    )


def run(store: str, request: Request, runner: Runner) -> Manifest:
    """One stage as a task of the current flow run; its result is what the store holds, whatever Prefect remembers."""
    key = runner.run(stage.with_options(name=request.STAGE), store, request)
    manifest = open_vault(store).result(key)
    if manifest is None:
        raise IntegrityError(f"the result of {request.title} was lost or changed at once", "Run again to make it anew")
    note_use(open_vault(store), manifest)
    return manifest
