"""Watching: what has arrived gets one run, whoever looks and how often; what fails is tried again, then parked."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from pico import make_pico
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Completed, Failed, Running

from flows.checks import check_expected
from flows.recompress import recompress
from flows.watch import Look, Watcher, WatchSpec, watch
from lorp.errors import SourceError
from lorp.spec import PruningSpec, Recipe, RecompressSpec
from tasks.sources.arrivals import sightings
from tasks.vault import Reference, open_vault
from tasks.workspace import Workspace, workspace


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def deployment(client: SyncPrefectClient, home: Path) -> str:
    """A deployment that nobody serves: what it is asked to run is looked at, and not run."""
    name = f"to-{home.parent.name}"
    client.create_deployment(client.create_flow(recompress), name)
    return f"recompress/{name}"


@pytest.fixture
def incoming(tmp_path: Path, pico: Path) -> Path:
    shutil.copytree(pico, tmp_path / "incoming" / "first")
    return tmp_path / "incoming"


@pytest.fixture
def places(home: Path) -> Workspace:
    home.mkdir()
    return workspace()


@pytest.fixture
def asked(incoming: Path, deployment: str) -> WatchSpec:
    return WatchSpec(sources=(str(incoming),), settle_seconds=0, backoff_minutes=0, deployment=deployment)


def look(asked: WatchSpec, places: Workspace) -> list[Look]:
    watcher = Watcher(asked=asked, places=places)
    return [found for source in asked.sources for found in watcher.looks(source)]


def runs(client: SyncPrefectClient, deployment: str) -> list[FlowRun]:
    found = client.read_deployment_by_name(deployment)
    only = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
    return list(client.read_flow_runs(deployment_filter=only))


def standings(looks: list[Look]) -> dict[str, str]:
    return {Path(found.address).name: found.standing for found in looks}


def test_a_checkpoint_counts_as_arrived_at_the_second_look(
    asked: WatchSpec, places: Workspace, client: SyncPrefectClient, pico: Path
) -> None:
    assert standings(look(asked, places)) == {"first": "arriving"}
    assert runs(client, asked.deployment) == []
    [started] = look(asked, places)
    assert (started.standing, started.attempt) == ("started", 1)
    [run] = runs(client, asked.deployment)
    assert str(run.id) == started.run
    spec = run.parameters["spec"]
    assert (spec["source"], spec["name"]) == (started.address, "first-lorp")
    assert len(spec["sha256"]) == 64
    assert standings(look(asked, places)) == {"first": "running"}
    assert len(runs(client, asked.deployment)) == 1


def test_one_that_is_still_written_waits(asked: WatchSpec, places: Workspace, incoming: Path) -> None:
    look(asked, places)
    (incoming / "first" / "generation_config.json").write_text("{}")
    assert standings(look(asked, places)) == {"first": "arriving"}
    assert standings(look(asked, places)) == {"first": "started"}
    patient = asked.model_copy(update={"settle_seconds": 3600})
    (incoming / "first" / "generation_config.json").write_text("{} ")
    assert [standings(look(patient, places)) for _ in range(2)] == [{"first": "arriving"}] * 2


def test_one_whose_index_names_more_than_is_there_waits(
    asked: WatchSpec, places: Workspace, incoming: Path, tmp_path: Path
) -> None:
    whole = make_pico(tmp_path / "whole", max_shard_size="100KB")
    shards = sorted(whole.glob("*.safetensors"))
    assert len(shards) > 1
    shutil.copytree(whole, incoming / "second", ignore=shutil.ignore_patterns(shards[-1].name))
    (incoming / "third").mkdir()
    for _ in range(2):
        found = look(asked, places)
    assert standings(found) == {"first": "started", "second": "incomplete", "third": "incomplete"}
    reasons = {Path(entry.address).name: entry.reason for entry in found}
    assert reasons["second"] == f"{shards[-1].name} is not there yet"
    assert "config.json" in reasons["third"]
    shutil.copy(shards[-1], incoming / "second")
    assert [standings(look(asked, places))["second"] for _ in range(2)] == ["arriving", "started"]


def test_of_many_watchers_one_starts_a_run(asked: WatchSpec, places: Workspace, client: SyncPrefectClient) -> None:
    look(asked, places)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: look(asked, places), range(8)))
    assert len({entry.run for looks in found for entry in looks}) == 1
    assert len(runs(client, asked.deployment)) == 1


def test_the_same_checkpoint_elsewhere_is_not_run_again_but_another_recipe_is(
    asked: WatchSpec, places: Workspace, incoming: Path, client: SyncPrefectClient
) -> None:
    shutil.copytree(incoming / "first", incoming / "copy")
    for _ in range(2):
        found = look(asked, places)
    assert standings(found) == {"copy": "started", "first": "running"}
    assert len(runs(client, asked.deployment)) == 1
    other = asked.model_copy(update={"recipe": Recipe(pruning=PruningSpec(remove=1))})
    assert standings(look(other, places)) == {"copy": "started", "first": "running"}
    assert len(runs(client, asked.deployment)) == 2


def test_a_failed_run_is_tried_again_later_and_then_parked(
    asked: WatchSpec, places: Workspace, client: SyncPrefectClient
) -> None:
    def fail(found: Look) -> None:
        client.set_flow_run_state(UUID(found.run), Failed(message="the disk is full"), force=True)

    asked = asked.model_copy(update={"max_attempts": 2})
    look(asked, places)
    [first] = look(asked, places)
    fail(first)
    slow = asked.model_copy(update={"backoff_minutes": 60})
    [waiting] = look(slow, places)
    assert waiting.standing == "waiting"
    assert "the disk is full" in waiting.reason
    [second] = look(asked, places)
    assert (second.standing, second.attempt) == ("started", 2)
    assert second.run != first.run
    fail(second)
    state = watch(asked, places, return_state=True)
    assert state.name == "Parked"
    assert "the disk is full" in str(state.message)
    [parked] = look(asked, places)
    assert (parked.standing, parked.attempt, parked.reason) == ("parked", 2, "the disk is full")
    assert len(runs(client, asked.deployment)) == 2


def test_what_prefect_has_cancelled_by_itself_is_tried_again(
    asked: WatchSpec, places: Workspace, client: SyncPrefectClient
) -> None:
    look(asked, places)
    [started] = look(asked, places)
    lost = Cancelled(message="Deployment concurrency slot lost during provisioning - no slots available to continue")
    client.set_flow_run_state(UUID(started.run), lost, force=True)
    [again] = look(asked, places)
    assert (again.standing, again.attempt) == ("started", 2)


@pytest.mark.parametrize(
    ("state", "standing"),
    [(Running(), "running"), (Completed(name="Rejected", message="over"), "done"), (Cancelled(), "cancelled")],
)
def test_what_is_not_a_failure_is_left_alone(
    asked: WatchSpec, places: Workspace, client: SyncPrefectClient, state: object, standing: str
) -> None:
    look(asked, places)
    [started] = look(asked, places)
    client.set_flow_run_state(UUID(started.run), state, force=True)  # type: ignore[arg-type]
    assert standings(look(asked, places)) == {"first": standing}
    assert len(runs(client, asked.deployment)) == 1


def test_what_has_arrived_is_read_once(
    asked: WatchSpec, places: Workspace, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(incoming / "first", incoming / "broken")
    (incoming / "broken" / "config.json").write_text('{"model_type": "unheard-of"}')
    for _ in range(2):
        look(asked, places)

    def fail(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr("tasks.watch.fetch_request", fail)
    assert standings(look(asked, places)) == {"first": "running", "broken": "unusable"}


def test_all_that_arrives_may_have_one_name(asked: WatchSpec, places: Workspace, client: SyncPrefectClient) -> None:
    named = asked.model_copy(update={"name": "nightly"})
    for _ in range(2):
        look(named, places)
    [run] = runs(client, asked.deployment)
    assert run.parameters["spec"]["name"] == "nightly"


def test_a_source_that_is_not_there_does_not_hide_the_others(asked: WatchSpec, places: Workspace) -> None:
    both = asked.model_copy(update={"sources": ("/nowhere/at/all", *asked.sources)})
    look(both, places)
    assert standings(look(both, places)) == {"all": "unreachable", "first": "started"}


def test_a_folder_or_a_note_that_cannot_be_read_does_not_hide_the_others(
    asked: WatchSpec, places: Workspace, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(incoming / "first", incoming / "second")
    look(asked, places)
    [sighting] = [each for each in sightings(str(incoming)) if each.address.endswith("second")]
    note = open_vault(places.store).store.local(f"watch/{sighting.listing}/seen.json")
    note.chmod(0o644)
    note.write_bytes(b"{")
    assert standings(look(asked, places)) == {"first": "started", "second": "unreachable"}

    def listed(folder: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", listed)
    [unreachable] = look(asked, places)
    assert (unreachable.standing, "Permission denied" in unreachable.reason) == ("unreachable", True)


def test_one_that_cannot_be_used_is_said_to_be_so(asked: WatchSpec, places: Workspace, incoming: Path) -> None:
    (incoming / "first" / "config.json").write_text('{"model_type": "unheard-of"}')
    look(asked, places)
    [found] = look(asked, places)
    assert found.standing == "unusable"
    assert "unheard-of" in found.reason


def test_a_source_that_has_changed_since_it_was_seen_is_not_recompressed(pico: Path) -> None:
    seen = Reference(key="checkpoints/c", sha256="c" * 64, bytes=1)
    check_expected(RecompressSpec(source=str(pico)), seen)
    check_expected(RecompressSpec(source=str(pico), sha256="c" * 64), seen)
    with pytest.raises(SourceError, match="has changed since it was seen"):
        check_expected(RecompressSpec(source=str(pico), sha256="d" * 64), seen)
