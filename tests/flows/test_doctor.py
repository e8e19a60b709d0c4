"""`lorp doctor`: what is not sound is named with its remedy, and nothing is changed or waited for."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from addresses import s3, spoil
from mlflow import MlflowClient
from postgres import PASSWORD, binaries, postgres
from prefect.settings import PREFECT_API_URL, temporary_settings
from servers import S3_READER, free_port
from sqlalchemy import create_engine, inspect
from support import Lorp, Result

from flows.doctor.prefect import prefect_checks
from flows.doctor.runs import look_at_automations
from flows.doctor.server import deployed_from
from lorp.ledger import Change
from tasks.doctor.check import Check, Finding, examine, ok, warning
from tasks.doctor.machine import look_at_settings
from tasks.doctor.packages import unmet_requirements
from tasks.doctor.registry import look_at_registry
from tasks.doctor.store import clock, creates_once, look_at_store
from tasks.ledger import record
from tasks.vault import Vault, open_vault
from tasks.workspace import workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_server(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever server other tests have; a test that asks for that one has it."""
    if "prefect_server" in request.fixturenames:
        yield
        return
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def states(done: Result) -> dict[str, str]:
    """The worst state by name."""
    worst = ["ok", "skipped", "warning", "fault"]
    found = sorted(done.json["findings"], key=lambda finding: worst.index(finding["state"]))
    return {finding["name"]: finding["state"] for finding in found}


def found(done: Result, name: str) -> dict[str, Any]:
    return next(finding for finding in done.json["findings"] if finding["name"] == name and finding["remedy"])


def looked_at_store(address: str) -> list[Finding]:
    return examine([Check(name="store", look=lambda: look_at_store(address), seconds=30)])


def ledger(vault: Vault, *versions: int) -> None:
    for version in versions:
        change = Change(
            act="promoted", version=version, variant="a" * 64, verdict="d" * 64, lineage="e" * 64, alias="production",
            flow_run="r", time="2026-11-25T00:00:00+00:00",
        )  # fmt: skip
        record(vault, "m", lambda _, change=change: change)


def test_a_new_installation_is_sound_and_stays_untouched(lorp: Lorp, home: Path) -> None:
    done = lorp("doctor", "--json")
    assert done.status == 0, done.out
    assert set(states(done)) >= {"python", "packages", "settings", "home", "store", "ledgers", "registry", "aliases"}
    assert "fault" not in states(done).values()
    assert "no server is set" in done.json["findings"][-1]["what"]
    assert not home.exists()


def test_a_person_sees_states_and_remedies(lorp: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    home.write_text("in the way")
    done = lorp("doctor")
    assert done.status == 1
    assert "FAULT" in done.out
    assert "-> Set LORP_HOME to another folder" in done.out
    assert "2 faults, " in done.out


def test_a_home_that_cannot_be_written_is_said(lorp: Lorp, home: Path) -> None:
    home.write_text("in the way")
    done = lorp("doctor", "--json")
    assert (states(done)["home"], states(done)["store"], states(done)["ledgers"]) == ("fault", "fault", "skipped")
    assert "LORP_HOME" in found(done, "home")["remedy"]
    assert "--store" in found(done, "store")["remedy"]


def test_a_setting_that_cannot_be_used_hides_no_other_fault(lorp: Lorp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORP_DTYPE", "float8")
    done = lorp("doctor", "--json")
    assert done.status == 1
    assert "LORP_DTYPE" in found(done, "settings")["what"]
    assert {states(done)[name] for name in ("home", "store", "registry", "aliases")} == {"skipped"}
    assert (states(done)["packages"], states(done)["prefect"]) == ("ok", "ok")


@pytest.mark.parametrize(
    ("store", "registry", "remedy"),
    [("/a", "http://elsewhere:5000", "LORP_STORE"), ("s3://bucket/x", "sqlite:////a.db", "MLFLOW_TRACKING_URI")],
)
def test_what_other_machines_cannot_see_is_said(store: str, registry: str, remedy: str) -> None:
    [finding] = look_at_settings(lambda: workspace(store, registry))
    assert finding.state == "warning"
    assert remedy in finding.remedy


def test_servers_that_are_not_there_are_said_and_the_rest_is_looked_at(
    lorp: Lorp, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", closed)
    monkeypatch.setenv("LORP_S3_DEADLINE", "120")
    with temporary_settings({PREFECT_API_URL: f"{closed}/api"}):
        done = lorp("doctor", "--json", "--store=s3://bucket/x", f"--tracking-uri={closed}")
    assert done.status == 1
    seen = states(done)
    assert {seen[name] for name in ("store", "registry", "prefect")} == {"fault"}
    assert {seen[name] for name in ("ledgers", "aliases", "deployments", "work pool", "runs")} == {"skipped"}
    assert {seen[name] for name in ("python", "packages", "home")} == {"ok"}
    for name, remedy in (("store", "AWS_ENDPOINT_URL"), ("registry", "--tracking-uri"), ("prefect", "PREFECT_API_URL")):
        assert remedy in found(done, name)["remedy"]


def test_a_server_that_never_answers_is_not_waited_for(lorp: Lorp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with temporary_settings({PREFECT_API_URL: f"{url}/api"}):
            done = lorp("doctor", "--json", f"--tracking-uri={url}")
    assert (states(done)["registry"], states(done)["prefect"], states(done)["store"]) == ("fault", "fault", "ok")
    assert "does not answer" in found(done, "prefect")["what"]


def test_a_check_that_hangs_or_fails_stops_no_other() -> None:
    def hang() -> list[Finding]:
        Event().wait()
        return []

    def fail() -> Iterator[Finding]:
        yield ok("failing", "so far")
        raise ValueError("http://ada:hush@host\nsaid no")

    checks = [
        Check(name="hanging", look=hang, seconds=0.1),
        Check(name="failing", look=fail),
        Check(name="resting", look=list, needs=("failing",)),
        Check(name="resting on that", look=list, needs=("resting",)),
        Check(name="last", look=lambda: [warning("last", "is", "do")]),
        Check(name="after a warning", look=lambda: [ok("after a warning", "is")], needs=("last",)),
    ]
    seen = examine(checks)
    assert [finding.state for finding in seen] == ["fault", "ok", "fault", "skipped", "skipped", "warning", "ok"]
    assert seen[0].what == "no answer within 0.1 s"
    assert seen[2].what == "ValueError: http://host said no"


def test_packages_are_held_against_what_lorp_asks_for() -> None:
    asked = ["numpy>=2", "fastapi<0.1", "no-such-package-here>1", 'no-such-extra; extra == "dev"']
    assert [(finding.state, finding.remedy) for finding in unmet_requirements(asked)] == [
        ("fault", 'pip install "fastapi<0.1"'),
        ("fault", 'pip install "no-such-package-here>1"'),
    ]


def test_a_bucket_is_tried_and_left_as_it_was(prefix: str) -> None:
    assert [finding.state for finding in looked_at_store(prefix)] == ["ok"]
    bucket, _, beginning = prefix.removeprefix("s3://").partition("/")
    assert "Contents" not in s3().list_objects_v2(Bucket=bucket, Prefix=beginning)


def test_a_bucket_that_is_not_there_is_said(aws: None) -> None:
    [finding] = looked_at_store(f"s3://none-{uuid4().hex}/x")
    assert (finding.state, finding.remedy) == ("fault", "Make it, or give another address")


@pytest.mark.parametrize(
    "keys",
    [{"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_ACCESS_KEY_ID": "nobody"}, S3_READER],
    ids=["secret", "key", "reader"],
)
def test_credentials_that_do_not_do_are_said(
    prefix: str, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    [finding] = looked_at_store(prefix)
    assert finding.state == "fault"
    assert "AWS_SECRET_ACCESS_KEY" in finding.remedy
    assert all(value not in str(finding) for value in keys.values())


@pytest.mark.parametrize("wins", [True, False])
def test_a_store_that_does_not_create_once_is_found(wins: bool) -> None:
    finding = creates_once("s", lambda _: wins, lambda: b"")
    assert (finding.state, "same object" in finding.what) == ("fault", True)


def test_a_store_that_gives_back_other_bytes_is_found() -> None:
    free = [True]
    finding = creates_once("s", lambda _: bool(free and free.pop()), lambda: b"other")
    assert "other bytes" in finding.what


@pytest.mark.parametrize(("minutes", "state"), [(0, []), (-4, []), (9, ["warning"]), (-9, ["warning"])])
def test_clocks_that_are_apart_are_said(minutes: int, state: list[str]) -> None:
    now = datetime.now(UTC)
    date = format_datetime(now + timedelta(minutes=minutes), usegmt=True)
    assert [finding.state for finding in clock(date, now)] == state
    assert list(clock("", now)) == []


def test_an_entry_that_was_tampered_with_is_found(lorp: Lorp, home: Path) -> None:
    vault = open_vault(str(home / "store"))
    ledger(vault, 1, 2)
    assert states(lorp("doctor", "--json"))["ledgers"] == "ok"
    spoil(vault.store.address("ledger/m/00000001.json"))
    done = lorp("doctor", "--json")
    assert done.status == 1
    assert "ledger of m" in found(done, "ledgers")["what"]


def test_aliases_are_held_against_the_ledger_and_left_alone(lorp: Lorp, home: Path) -> None:
    ledger(open_vault(str(home / "store")), 1, 2)
    done = lorp("doctor", "--json")
    assert (states(done)["aliases"], (home / "mlflow.db").exists()) == ("fault", False)
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    client.create_registered_model("m")
    for _ in range(3):
        client.create_model_version("m", source="file:///nowhere")
    told = {}
    for version in (2, 1, 3):
        client.set_registered_model_alias("m", "production", str(version))
        done = lorp("doctor", "--json")
        told[version] = (done.status, states(done)["aliases"])
        assert int(client.get_registered_model("m").aliases["production"]) == version
        if version != 2:
            remedy = "lorp reconcile" if version == 1 else "lorp reconcile --restore"
            assert found(done, "aliases")["remedy"] == remedy
    assert told == {2: (0, "ok"), 1: (0, "warning"), 3: (1, "fault")}


def test_a_file_that_is_no_registry_is_said_and_not_made_one(lorp: Lorp, home: Path) -> None:
    home.mkdir()
    with closing(sqlite3.connect(home / "other.db")) as database:
        database.execute("create table other (id int)")
    for content in (b"no database at all" * 100, (home / "other.db").read_bytes()):
        (home / "mlflow.db").write_bytes(content)
        done = lorp("doctor", "--json")
        assert (done.status, states(done)["registry"]) == (1, "fault")
        assert "--tracking-uri" in found(done, "registry")["remedy"]
        assert (home / "mlflow.db").read_bytes() == content


def test_an_empty_database_is_no_registry_yet_and_stays_empty(lorp: Lorp, home: Path) -> None:
    home.mkdir()
    (home / "mlflow.db").touch()
    done = lorp("doctor", "--json")
    assert (done.status, states(done)["registry"], states(done)["aliases"]) == (0, "ok", "ok")
    ledger(open_vault(str(home / "store")), 1)
    done = lorp("doctor", "--json")
    assert (states(done)["registry"], states(done)["aliases"]) == ("ok", "fault")
    assert (home / "mlflow.db").read_bytes() == b""


@pytest.mark.parametrize(
    ("revision", "said", "remedy"),
    [
        ("75868b020152", "older MLflow", "mlflow db upgrade sqlite:///"),
        ("ffffffffffff", "does not know", "newer MLflow"),
        (None, "lost tables of MLflow's: scheduler_leases", "backup"),
    ],
)
def test_a_registry_of_another_mlflow_is_said_and_left_as_it_is(
    lorp: Lorp, home: Path, revision: str | None, said: str, remedy: str
) -> None:
    home.mkdir()
    made = home / "made.db"
    MlflowClient(tracking_uri=f"sqlite:///{made}").search_registered_models()
    with closing(sqlite3.connect(made)) as database, database:
        database.execute("update alembic_version set version_num = coalesce(?, version_num)", (revision,))
        database.execute("drop table scheduler_leases")  # the last revision makes it
    before = made.read_bytes()
    file = made.rename(home / "mlflow.db")  # where this process has not opened one yet
    done = lorp("doctor", "--json")
    assert (done.status, states(done)["registry"], states(done)["aliases"]) == (1, "fault", "skipped")
    assert said in found(done, "registry")["what"]
    assert remedy in found(done, "registry")["remedy"]
    assert file.read_bytes() == before


def test_an_empty_database_of_postgresql_stays_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    monkeypatch.setenv("PGUSER", "lorp")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with postgres(programs) as url:
        places = workspace("/store", url.replace("lorp@", "").removesuffix("lorp") + "postgres")
        [finding] = look_at_registry(places)
        engine = create_engine(places.tracking_uri)
        assert (finding.state, inspect(engine).get_table_names()) == ("ok", [])
        assert "not there yet" in finding.what
        engine.dispose()


def test_a_registry_of_another_version_is_said() -> None:
    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/version" else 404)
            self.end_headers()
            self.wfile.write(b"2.9.1")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Old) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        places = workspace("/store", f"http://127.0.0.1:{server.server_port}")
        first, second = examine([Check(name="registry", look=lambda: look_at_registry(places))])
        server.shutdown()
    assert (first.state, second.state) == ("warning", "fault")
    assert "2.9.1" in first.what


@pytest.mark.usefixtures("prefect_server")
def test_what_a_server_does_not_have_is_told() -> None:
    seen = examine(prefect_checks())
    told = {finding.name: finding for finding in seen if finding.state == "warning"}
    assert "promote/promote" in told["deployments"].what
    assert "prefect deploy --all" in told["deployments"].remedy
    assert "prefect work-pool create lorp" in told["work pool"].remedy
    assert "deployments/automations.yaml" in told["automations"].remedy
    assert "fault" not in {finding.state for finding in seen}


OTHERS = """
deployments:
  - {name: a, entrypoint: null}
  - {name: b}
  - {name: c, entrypoint: "flows/theirs.py:flow"}
"""
BY_PATH, BY_NAME = (
    f"{OTHERS}  - {{name: d, entrypoint: '{each}:watch'}}" for each in ("flows/watch.py", "flows.watch")
)


@pytest.mark.parametrize(
    ("text", "automations", "here"),
    [
        (BY_PATH, True, True),
        (BY_NAME, True, True),
        (BY_NAME, False, False),
        (OTHERS, True, False),
        ("name: theirs", True, False),
        ("", True, False),
    ],
)
def test_somebody_elses_deployments_are_not_taken_for_lorps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, automations: bool, here: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prefect.yaml").write_text(text)
    (tmp_path / "deployments").mkdir()
    if automations:
        (tmp_path / "deployments" / "automations.yaml").touch()
    assert deployed_from() == (Path() if here else ROOT)
    monkeypatch.setattr("flows.doctor.server.__file__", str(tmp_path / "flows" / "doctor" / "server.py"))
    assert deployed_from() == (Path() if here else None)


@pytest.mark.usefixtures("prefect_server")
def test_elsewhere_a_remedy_names_the_file_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [finding] = look_at_automations()
    assert finding.remedy == f"prefect automation create --from-file {ROOT / 'deployments' / 'automations.yaml'}"
