"""MLflow holds each verdict once and a version only of approved ones; stricter verdicts mark looser versions."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE

from lorp.digest import digest_value
from lorp.errors import RegistryError
from lorp.gate import CriterionResult, Verdict
from lorp.spec import GateSpec
from tasks.registration import Registration, UsedWindows
from tasks.registry import Registered, register
from tasks.tracking import EXPERIMENT
from tasks.workspace import Workspace

NAME = "pico-lorp"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made once: making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def places(database: Path, tmp_path: Path) -> Workspace:
    (tmp_path / "mlflow.db").write_bytes(database.read_bytes())
    return Workspace(
        store=str(tmp_path / "store"),
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        artifacts=(tmp_path / "artifacts").as_uri(),
    )


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text("<html></html>")
    return tmp_path / "report.html"


def registration(report: Path, *, approved: bool = True, ratio: float = 1.5, variant: str = "v" * 64) -> Registration:
    gate = GateSpec(max_perplexity_ratio=ratio)
    criterion = CriterionResult(
        name="perplexity_ratio", value=1.3, bound=1.4, budget=ratio, passed=approved, reason="as measured"
    )
    verdict = Verdict(
        variant=variant,
        evaluation="e" * 64,
        gate=digest_value(gate.model_dump(mode="json")),
        approved=approved,
        criteria=(criterion,),
    )
    return Registration(
        name=NAME,
        title="pico-lorp remove 2 lorp",
        headline="Removing 2 of 4 blocks was judged.",
        verdict=verdict,
        gate=gate,
        source=(report.parent / "store/variants/v").as_uri(),
        digests={"checkpoint": "c" * 64, "plan": "p" * 64, "variant": variant},
        parameters={"pruning.remove": "2"},
        metrics={"rls": 0.7},
        report=report,
        card="# A model",
        datasets=(
            UsedWindows(
                use="calibration",
                name="pydoc",
                sha256="d" * 64,
                source="s3://b/values/d.json",
                num_windows=16,
                window_tokens=32,
            ),
        ),
    )


def versions(places: Workspace) -> list[ModelVersion]:
    found = MlflowClient(tracking_uri=places.tracking_uri).search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda version: int(version.version))


def test_a_task_s_name_may_hold_what_mlflow_s_names_may_not(places: Workspace, report: Path) -> None:
    metrics = {"accuracy_questions (1) & more_dense": 0.5, f"accuracy_{'x' * 300}": 0.4}
    done = register(places, replace(registration(report), metrics=metrics))
    found = MlflowClient(tracking_uri=places.tracking_uri).get_run(done.run_id).data.metrics
    assert found["accuracy_questions _1_ _ more_dense"] == 0.5
    assert sorted(found.values()) == [0.4, 0.5]


def test_an_approved_verdict_becomes_a_version_that_points_to_the_store(places: Workspace, report: Path) -> None:
    wanted = registration(report)
    done = register(places, wanted)
    client = MlflowClient(tracking_uri=places.tracking_uri)
    run = client.get_run(done.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"pruning.remove": "2"}
    assert run.data.tags["mlflow.note.content"] == wanted.headline
    assert run.data.metrics == {"rls": 0.7}
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("pydoc", "d" * 36)
    assert json.loads(used.dataset.source) == {"uri": "s3://b/values/d.json"}
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "calibration")]
    assert [file.path for file in client.list_artifacts(done.run_id, "report")] == ["report/report.html"]
    [version] = versions(places)
    assert int(version.version) == done.model_version == 1
    assert (version.source, version.description) == (wanted.source, wanted.headline)
    assert version.run_id == done.run_id
    assert {name: version.tags[f"lorp.{name}"] for name in ("checkpoint", "plan", "verdict")} == {
        "checkpoint": "c" * 64,
        "plan": "p" * 64,
        "verdict": wanted.verdict.id,
    }


def test_a_rejected_verdict_becomes_a_run_and_no_version(places: Workspace, report: Path) -> None:
    done = register(places, registration(report, approved=False))
    assert done.model_version is None
    assert versions(places) == []
    run = MlflowClient(tracking_uri=places.tracking_uri).get_run(done.run_id)
    assert run.data.tags["lorp.approved"] == "false"


def test_registering_again_changes_nothing(places: Workspace, report: Path) -> None:
    first = register(places, registration(report))
    assert register(places, registration(report)) == first
    client = MlflowClient(tracking_uri=places.tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert len(versions(places)) == 1


def test_an_unfinished_run_is_finished(places: Workspace, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tasks.registry_runs._fill", lambda *_: None)
        first = register(places, registration(report))
    assert register(places, registration(report)) == first
    run = MlflowClient(tracking_uri=places.tracking_uri).get_run(first.run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"rls": 0.7})


@pytest.mark.parametrize("stricter_approved", [True, False])
@pytest.mark.parametrize("stricter_first", [True, False])
def test_a_stricter_verdict_marks_the_looser_version(
    places: Workspace, report: Path, stricter_approved: bool, stricter_first: bool
) -> None:
    loose, strict = registration(report), registration(report, ratio=1.2, approved=stricter_approved)
    for wanted in (strict, loose) if stricter_first else (loose, strict):
        register(places, wanted)
    marks = {
        version.tags["lorp.verdict"]: (
            version.tags.get("lorp.stricter_verdict"),
            version.tags.get("lorp.stricter_verdict_approved"),
        )
        for version in versions(places)
    }
    assert marks[loose.verdict.id] == (strict.verdict.id, str(stricter_approved).lower())
    assert marks.get(strict.verdict.id, (None, None)) == (None, None)
    assert len(marks) == 1 + stricter_approved


def test_verdicts_on_another_variant_or_another_name_mark_nothing(places: Workspace, report: Path) -> None:
    register(places, registration(report))
    register(places, registration(report, ratio=1.2, approved=False, variant="w" * 64))
    register(places, replace(registration(report, ratio=1.2, approved=False), name="another"))
    [version] = versions(places)
    assert "lorp.stricter_verdict" not in version.tags


def test_a_version_becomes_the_candidate_once(places: Workspace, report: Path) -> None:
    client = MlflowClient(tracking_uri=places.tracking_uri)

    def candidate() -> int:
        return int(client.get_model_version_by_alias(NAME, "candidate").version)

    first, second = registration(report), registration(report, variant="w" * 64)
    register(places, first)
    assert candidate() == 1
    register(places, second)
    assert candidate() == 2
    register(places, first)
    assert candidate() == 2
    client.delete_model_version_tag(NAME, "1", "lorp.was_candidate")  # as if it had been killed before it could say so
    register(places, first)
    assert candidate() == 2, "a newer one has come meanwhile"


def test_the_same_budgets_rejecting_later_mark_the_version(places: Workspace, report: Path) -> None:
    approved = registration(report)
    verdict = replace(approved.verdict, approved=False, evaluation="f" * 64)
    register(places, approved)
    register(places, replace(approved, verdict=verdict))
    [version] = versions(places)
    assert version.tags["lorp.stricter_verdict"] == verdict.id
    assert version.tags["lorp.stricter_verdict_approved"] == "false"


def test_a_rejection_is_named_before_a_stricter_approval(places: Workspace, report: Path) -> None:
    loose, rejected = registration(report), registration(report, ratio=1.4, approved=False)
    for wanted in (loose, rejected, registration(report, ratio=1.3)):
        register(places, wanted)
    version = versions(places)[0]
    assert version.tags["lorp.stricter_verdict"] == rejected.verdict.id


def test_what_mlflow_refuses_is_said_in_one_line(places: Workspace, report: Path) -> None:
    with pytest.raises(RegistryError, match="--tracking-uri"):
        register(places.model_copy(update={"tracking_uri": "sqlite:////dev/null/x.db"}), registration(report))


def runs(places: Workspace) -> list[Run]:
    client = MlflowClient(tracking_uri=places.tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    return list(client.search_runs([experiment.experiment_id]))


def twice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the client ask for it twice, as it does when an answer was lost."""
    ask = getattr(MlflowClient, name)
    monkeypatch.setattr(MlflowClient, name, lambda *given, **named: (ask(*given, **named), ask(*given, **named))[1])


def test_a_run_and_a_version_whose_answers_were_lost_are_there_once(
    places: Workspace, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice("create_run", monkeypatch)
    twice("create_model_version", monkeypatch)
    done = register(places, registration(report))
    [run], [version] = runs(places), versions(places)
    assert (run.info.run_id, int(version.version)) == (done.run_id, done.model_version) == (version.run_id, 1)
    assert register(places, registration(report)) == done


def test_an_experiment_and_a_model_made_by_another_in_between_are_used(
    places: Workspace, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("create_experiment", "create_registered_model"):
        ask = getattr(MlflowClient, name)

        def ask_second(*given: object, ask: Callable[..., object] = ask, **named: object) -> object:
            ask(*given, **named)
            return ask(*given, **named)

        monkeypatch.setattr(MlflowClient, name, ask_second)
    assert register(places, registration(report)).model_version == 1


def test_a_version_too_many_stays_while_an_alias_uses_it(places: Workspace, report: Path) -> None:
    done = register(places, registration(report))
    client = MlflowClient(tracking_uri=places.tracking_uri)
    tags = {name: value for name, value in versions(places)[0].tags.items() if name != "lorp.was_candidate"}
    client.delete_model_version_tag(NAME, "1", "lorp.was_candidate")
    for _ in range(2):
        client.create_model_version(NAME, source="file:///v", run_id=done.run_id, tags=tags)
    client.set_registered_model_alias(NAME, "production", "3")
    assert register(places, registration(report)) == done
    assert [int(version.version) for version in versions(places)] == [1, 3]


def test_a_registry_that_was_lost_is_filled_again(places: Workspace, report: Path, database: Path) -> None:
    first = register(places, registration(report))
    path = Path(places.tracking_uri.removeprefix("sqlite:///"))
    fresh = places.model_copy(update={"tracking_uri": f"sqlite:///{path.with_name('fresh.db')}"})
    path.with_name("fresh.db").write_bytes(database.read_bytes())
    second = register(fresh, registration(report))
    assert second.run_id != first.run_id
    assert [run.info.run_id for run in runs(fresh)] == [second.run_id]
    assert second.model_version == 1


def test_a_run_that_was_deleted_is_made_again(places: Workspace, report: Path) -> None:
    first = register(places, registration(report, approved=False))
    MlflowClient(tracking_uri=places.tracking_uri).delete_run(first.run_id)
    second = register(places, registration(report, approved=False))
    assert second.run_id != first.run_id
    assert [run.info.run_id for run in runs(places)] == [second.run_id]


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("create_run", MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE)),
        ("log_inputs", MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed", error_code=BAD_REQUEST)),
    ],
    ids=["busy", "inserted at once"],
)
def test_others_in_the_way_are_waited_for(
    places: Workspace, report: Path, monkeypatch: pytest.MonkeyPatch, call: str, fault: MlflowException
) -> None:
    ask, left = getattr(MlflowClient, call), [fault]

    def refused_once(*given: object, **named: object) -> object:
        if left:
            raise left.pop()
        return ask(*given, **named)

    monkeypatch.setattr(MlflowClient, call, refused_once)
    assert register(places, registration(report)).model_version == 1
    assert len(runs(places)) == 1


def test_of_two_at_once_both_return_the_same(places: Workspace, report: Path) -> None:
    barrier = Barrier(2)

    def race(_: int) -> Registered:
        barrier.wait()
        return register(places, registration(report))

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(race, range(2))
    assert one == other
    assert len(runs(places)) == len(versions(places)) == 1
