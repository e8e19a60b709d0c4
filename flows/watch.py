"""Watched sources -> a recompression for each checkpoint that has arrived, one only, however often it is looked for."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.states import Completed
from pydantic import Field

from flows.recompress import default_name
from flows.wording import watch_summary
from lorp.digest import digest_value
from lorp.errors import InputError, LorpError, StoreError
from lorp.spec import MODEL_NAME, Recipe, RecompressSpec, Spec
from tasks.cache import PLAIN_JSON
from tasks.sources.arrivals import Sighting, sightings
from tasks.vault import Vault, open_vault
from tasks.watch import arrived, is_settled, note_once
from tasks.workspace import Workspace, workspace

_AT_ONCE = 200
#: Of two machines, at most.
_CLOCKS_DIFFER = timedelta(minutes=5)
#: Begins what Prefect says where it cancels a run by itself: the slot was gone before the process had started, say.
_NO_SLOT = "Deployment concurrency"

#: What a look at a checkpoint says of it.
Standing = Literal[
    "unreachable", "incomplete", "arriving", "unusable", "started", "running", "waiting", "done", "cancelled", "parked"
]


class WatchSpec(Spec):
    """What is watched, and what is done with what arrives.

    Attributes:
        name: The registered model's name for all that arrives; from each checkpoint's own unless given.
        sources: Folders or `s3://bucket/prefix`, each a checkpoint or with one in every folder below; revisions on the
            hub; registered versions or aliases.
        recipe: How a checkpoint is recompressed.
        settle_seconds: How long a listing must stay as it is before a checkpoint counts as arrived.
        max_attempts: Runs of one checkpoint, at most; the failed last one is parked.
        backoff_minutes: Between the end of a failed run and the second; twice as long before each further one.
        deployment: What is run.
    """

    name: str | None = Field(None, pattern=MODEL_NAME)
    sources: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    recipe: Recipe = Recipe()
    settle_seconds: float = Field(60, ge=0, allow_inf_nan=False)
    max_attempts: int = Field(3, ge=1, le=20)
    backoff_minutes: float = Field(10, ge=0, allow_inf_nan=False)
    deployment: str = "recompress/recompress"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was found of one checkpoint.

    Attributes:
        address: Its own.
        standing: What is the matter with it.
        reason: Why, for people.
        attempt: Number of its last run; 0 for none.
        run: That run's id.
    """

    address: str
    standing: Standing
    reason: str = ""
    attempt: int = 0
    run: str | None = None


@flow(name="watch", persist_result=True, result_serializer=PLAIN_JSON)
def watch(asked: WatchSpec, places: Workspace | None = None) -> State[Any]:
    """Looks at every source once; runs a recompression of each checkpoint that has arrived and has had none.

    A checkpoint is known by its content: the same one elsewhere, or under another name, is not run again under the same
    recipe. Prefect's idempotency keys see to it that of many who look at once only one starts a run.

    Args:
        asked: What is watched.
        places: Where things are kept; the defaults of `tasks.workspace` unless given.

    Returns:
        Completed, named Watched, or Parked where a checkpoint needs a person.
    """
    watcher = Watcher(asked=asked, places=places or workspace())
    looks = [look for source in asked.sources for look in watcher.looks(source)]
    rows = [asdict(look) for look in looks]
    if rows:
        create_table_artifact(rows, key="watch", description="Checkpoints that were seen")
    name = "Parked" if any(look.standing == "parked" for look in looks) else "Watched"
    return Completed(name=name, message=watch_summary(rows), data={"looks": rows})


@dataclass(frozen=True, kw_only=True)
class _Arrived:
    """A checkpoint that is there, and in the store."""

    address: str
    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """One look at everything."""

    asked: WatchSpec
    places: Workspace

    @property
    def vault(self) -> Vault:
        """Where is kept what was seen."""
        return open_vault(self.places.store)

    def looks(self, source: str) -> Iterator[Look]:
        """A look at each checkpoint of a source; a source that cannot be looked at does not hide the others."""
        try:
            found = sightings(source, self.places.tracking_uri)
        except LorpError as fault:
            yield Look(address=source, standing="unreachable", reason=fault.reason)
            return
        looked = [self._look(sighting) for sighting in found]
        here = {each.checkpoint for each in looked if isinstance(each, _Arrived)}
        runs = _runs([key for checkpoint in here for key in self._keys(checkpoint)])
        yield from (self._attend(each, runs) if isinstance(each, _Arrived) else each for each in looked)

    def _look(self, sighting: Sighting) -> "Look | _Arrived":
        if sighting.missing:
            return Look(address=sighting.address, standing="incomplete", reason=sighting.missing)
        dtype = self.asked.recipe.weights_dtype
        try:
            if not is_settled(self.vault, sighting, self.asked.settle_seconds):
                return Look(address=sighting.address, standing="arriving", reason="it may still be written")
            checkpoint = arrived(self.vault, sighting, dtype, self.places.tracking_uri)
        except LorpError as fault:
            refused = isinstance(fault, InputError) and not isinstance(fault, StoreError)
            standing: Standing = "unusable" if refused else "unreachable"
            return Look(address=sighting.address, standing=standing, reason=fault.reason)
        except OSError as fault:
            reason = f"it cannot be read: {fault.strerror or fault}"
            return Look(address=sighting.address, standing="unreachable", reason=reason)
        return _Arrived(address=sighting.address, checkpoint=checkpoint)

    def _attend(self, arrived: "_Arrived", runs: dict[str, FlowRun]) -> Look:
        """Starts a run if none has been, or if the last has failed and it is time for another.

        Args:
            arrived: The checkpoint.
            runs: All runs there are of it, by their keys; one that is started here is added.
        """
        address, checkpoint = arrived.address, arrived.checkpoint
        keys = self._keys(checkpoint)
        attempt = max((number for number, key in enumerate(keys, start=1) if key in runs), default=0)
        if attempt == 0:
            return self._start(address, checkpoint, 1, runs)
        run = runs[keys[attempt - 1]]
        standing, reason = self._standing(run.state, attempt)
        if standing == "due":
            return self._start(address, checkpoint, attempt + 1, runs)
        if standing == "parked" and note_once(self.vault, str(run.id)):
            _tell_parked(address, attempt, str(run.id), reason)
        return Look(address=address, standing=standing, reason=reason, attempt=attempt, run=str(run.id))

    def _standing(self, state: State[Any] | None, attempt: int) -> tuple[Standing | Literal["due"], str]:
        """What the state of the last run means."""
        if state is None or not state.is_final():
            return "running", (state.name or "") if state else ""
        message = state.message or state.name or ""
        if state.is_completed():
            return "done", message
        if state.is_cancelled() and not message.startswith(_NO_SLOT):
            return "cancelled", "someone cancelled it: retry that run in Prefect if it is wanted"
        if attempt == self.asked.max_attempts:
            return "parked", message
        again = state.timestamp + timedelta(minutes=self.asked.backoff_minutes * 2 ** (attempt - 1))
        now = datetime.now(UTC)
        # What has failed in the time to come has failed under a clock that was wrong: nobody waits for that.
        due = now >= again or state.timestamp - now > _CLOCKS_DIFFER
        return ("due", message) if due else ("waiting", f"until {again:%H:%M:%S}: {message}")

    def _start(self, address: str, checkpoint: str, attempt: int, runs: dict[str, FlowRun]) -> Look:
        spec = RecompressSpec(
            **self.asked.recipe.model_dump(),
            source=address,
            sha256=checkpoint,
            name=self.asked.name or default_name(address),
        )
        run = cast(
            FlowRun,
            run_deployment(
                self.asked.deployment,
                parameters={"spec": spec.model_dump(mode="json"), "places": self.places.model_dump(mode="json")},
                idempotency_key=self._key(checkpoint, attempt),
                timeout=0,
                as_subflow=False,
                tags=["lorp", "watch"],
            ),
        )
        runs[self._key(checkpoint, attempt)] = run
        return Look(address=address, standing="started", attempt=attempt, run=str(run.id))

    def _keys(self, checkpoint: str) -> list[str]:
        """Of all runs that a checkpoint may have, the first's first."""
        return [self._key(checkpoint, attempt) for attempt in range(1, self.asked.max_attempts + 1)]

    def _key(self, checkpoint: str, attempt: int) -> str:
        """What no two runs have in common: one server may run jobs of several stores and registries."""
        places, recipe = [self.places.store, self.places.tracking_uri], self.asked.recipe.model_dump(mode="json")
        if recipe["pruning"]["stack"] is None:  # which came later: what was run before is not run again
            del recipe["pruning"]["stack"]
        return digest_value([checkpoint, recipe, *places, attempt])


def _tell_parked(address: str, attempt: int, run: str, reason: str) -> None:
    """Emits an event, for automations."""
    emit_event(
        event="lorp.checkpoint.parked",
        resource={"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.name": address},
        payload={"address": address, "attempts": attempt, "reason": reason},
    )


def _runs(keys: Sequence[str]) -> dict[str, FlowRun]:
    """The runs there are with these keys: many at a call, and no more than a server answers with at once."""
    found: dict[str, FlowRun] = {}
    if not keys:
        return found
    with get_client(sync_client=True) as client:
        for first in range(0, len(keys), _AT_ONCE):
            some = FlowRunFilterIdempotencyKey(any_=list(keys[first : first + _AT_ONCE]))
            runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=some), limit=_AT_ONCE)
            found |= {str(run.idempotency_key): run for run in runs}
    return found
