"""`lorp status`: runs, verdicts, production; it makes nothing, and says what could not be asked."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from addresses import spoil
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Failed, Running, Scheduled, State, Suspended
from servers import free_port
from support import PICO_OPTIONS, Lorp

from flows.cli import run
from flows.promote import promote
from flows.recompress import recompress
from flows.sweep import sweep
from flows.watch import watch


@pytest.fixture(scope="module")
def template(pico: Path, prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with version 1 in production, and a rejected run after it."""
    home = tmp_path_factory.mktemp("template")
    asked = ["recompress", str(pico), "--name=pico", *PICO_OPTIONS, "--speed-rounds=0", "--json"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LORP_HOME", str(home))
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        with redirect_stdout(StringIO()):
            assert run([*asked, "--remove=2", "--max-perplexity-ratio=100"]) == 0
            assert run(["promote", "pico", "--by=ada", "--reason=first one"]) == 0
            assert run([*asked, "--remove=1", "--max-perplexity-ratio=0.5"]) == 3
    return home


@pytest.fixture
def there(template: Path, home: Path) -> Path:
    shutil.copytree(template, home)
    return home


@pytest.fixture
def no_server() -> Iterator[None]:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def listing(folder: Path) -> dict[str, float]:
    """Every file and folder with its time; that of a database that was only read stays as it was."""
    return {str(path): path.lstat().st_mtime for path in folder.rglob("*")}


def test_verdicts_and_production_are_told(there: Path, lorp: Lorp, no_server: None) -> None:
    before = listing(there)
    told = lorp("status", "--json")
    assert told.status == 0
    assert listing(there) == before
    assert told.json["prefect"] is None
    rejected, approved = told.json["verdicts"]
    assert (rejected["approved"], rejected["version"], rejected["budget"]) == (False, None, 0.5)
    assert (approved["approved"], approved["version"], len(approved["removed"])) == (True, 1, 2)
    assert approved["ratio"] <= approved["bound"] <= 100
    assert approved["page"] is None
    assert Path(approved["report"].removeprefix("file://")).read_text().startswith("<!doctype html>")
    [name] = told.json["production"]
    assert (name["name"], name["candidate"], name["fault"]) == ("pico", 1, None)
    [alias] = name["aliases"]
    assert (alias["alias"], alias["version"], alias["strayed"]) == ("production", 1, None)
    assert (alias["moved"]["asked_by"], alias["moved"]["reason"]) == ("ada", "first one")
    assert [entry["change"]["act"] for entry in name["history"]] == ["rejected", "promoted", "registered"]
    assert lorp("status", "pico", "--runs=1", "--json").json["verdicts"] == [rejected]


def test_people_get_tables(there: Path, lorp: Lorp, no_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    told = lorp("status")
    for words in ("No Prefect server is set", "REJECTED", "approved", "ada", "first one", "version 1 promoted"):
        assert words in told.out
    assert all(len(line) <= 120 for line in told.out.splitlines() if "://" not in line)


def test_narrow_tables_leave_nothing_out(
    there: Path, lorp: Lorp, no_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    usual = lorp("status", "pico").out
    assert usual.count(f"{datetime.now(UTC):%Y-%m-%d}") == 6
    monkeypatch.setenv("COLUMNS", "40")
    assert "…" not in usual + lorp("status", "pico").out


def test_what_a_ledger_says_moves_no_cursor(there: Path, lorp: Lorp, no_server: None) -> None:
    assert lorp("promote", "pico", "--version=1", "--to=other", "--reason=\x1b[2Jgone").status == 0
    told = lorp("status", "pico").out
    assert "\x1b" not in told
    assert "gone" in told


def test_a_terminal_without_some_characters_is_no_fault(there: Path, no_server: None, lorp: Lorp) -> None:
    assert lorp("promote", "pico", "--version=1", "--to=other", "--reason=für alle").status == 0
    told = subprocess.run(
        [Path(sys.executable).with_name("lorp"), "status", "pico"],
        env={**os.environ, "LORP_HOME": str(there), "PYTHONIOENCODING": "ascii", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert "f\\xfcr alle" in told.stdout


def test_an_alias_that_is_not_where_the_ledger_says_is_told(there: Path, lorp: Lorp, no_server: None) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{there / 'mlflow.db'}")
    client.delete_registered_model_alias("pico", "production")
    told = lorp("status", "--json").json["production"][0]["aliases"][0]["strayed"]
    assert (told["registry"], told["ledger"], told["cause"]) == (None, 1, "behind")
    assert "lorp reconcile mends that" in lorp("status").out
    client.set_registered_model_alias("pico", "production", "1")
    assert "reconcile" not in lorp("status").out


def test_an_empty_home_stays_so(home: Path, lorp: Lorp, no_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.parent / "cwd").mkdir()
    monkeypatch.chdir(home.parent / "cwd")
    told = lorp("status")
    assert told.status == 0
    for words in ("No Prefect server is set", "lorp recompress makes the first", "No version yet"):
        assert words in told.out
    empty = lorp("status", "--json").json
    assert (empty["verdicts"], empty["production"], empty["faults"]) == ([], [], {})
    assert lorp("status", f"--store={home / 'other'}", f"--tracking-uri=sqlite:///{home}/other.db").status == 0
    assert not home.exists()
    assert not list((home.parent / "cwd").iterdir())


@pytest.mark.parametrize("name", ["nobody", "a'b", "../x"])
def test_an_unknown_name_is_said_in_one_line(there: Path, lorp: Lorp, no_server: None, name: str) -> None:
    told = lorp("status", name)
    assert (told.status, told.out) == (2, "")
    assert name in told.err
    assert len(told.err.splitlines()) == 1


def test_what_cannot_be_asked_does_not_hide_the_rest(
    there: Path, lorp: Lorp, no_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with temporary_settings({PREFECT_API_URL: f"{nobody}/api"}):
        told = lorp("status", "--json")
    assert told.status == 1
    assert set(told.json["faults"]) == {"prefect"}
    assert len(told.json["verdicts"]) == 2
    away = lorp("status", f"--tracking-uri={nobody}")
    assert away.status == 1
    assert "cannot be used" in away.out
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    monkeypatch.setenv("LORP_S3_DEADLINE", "1")
    without_store = lorp("status", "--store=s3://away/store", "--json")
    assert without_store.status == 1
    assert set(without_store.json["faults"]) == {"production"}
    assert len(without_store.json["verdicts"]) == 2
    spoil((there / "store" / "ledger" / "pico" / "00000001.json").as_uri())
    broken = lorp("status", "--json")
    assert broken.status == 1
    assert "entry 1 of the ledger of pico" in broken.json["production"][0]["fault"]
    assert len(broken.json["verdicts"]) == 2


def make_run(flow: Any, name: str, state: State[Any]) -> str:
    with get_client(sync_client=True) as client:
        return str(client.create_flow_run(flow, name=name, state=state).id)


def test_runs_are_told_with_their_pages(
    there: Path, lorp: Lorp, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    mark = uuid4().hex[:8]
    waiting = make_run(promote, f"waiting-{mark}", Suspended(message="Promote version 1?"))
    going_on = make_run(recompress, f"running-{mark}", Running())
    crashed = make_run(recompress, f"crashed-{mark}", Crashed(message="out of memory"))
    failed = make_run(promote, f"failed-{mark}", Failed(message="no store"))
    make_run(recompress, f"done-{mark}", Completed())
    for look in range(3):
        make_run(watch, f"look-{look}-{mark}", Completed(name="Parked", message=f"x is parked {mark}"))
    for number in range(3):
        make_run(watch, f"next-{number}-{mark}", Scheduled())
        make_run(sweep, f"late-{number}-{mark}", Scheduled(name="Late"))
    told = lorp("status", "--json").json["prefect"]
    assert [seen["id"] for seen in told["waiting"] if seen["name"] == f"waiting-{mark}"] == [waiting]
    [ours] = [seen for seen in told["waiting"] if seen["id"] == waiting]
    assert (ours["flow"], ours["state"], ours["message"]) == ("promote", "Suspended", "Promote version 1?")
    assert ours["page"].endswith(f"/runs/flow-run/{waiting}")
    assert going_on in {seen["id"] for seen in told["going_on"]}
    assert len([seen for seen in told["going_on"] if seen["state"] == "Scheduled" and seen["flow"] == "watch"]) == 1
    [late] = [seen for seen in told["going_on"] if (seen["flow"], seen["state"]) == ("sweep", "Late")]
    assert (late["name"], late["times"]) == (f"late-0-{mark}", 3)
    bad = {seen["id"]: seen["message"] for seen in told["failed"]}
    assert (bad[crashed], bad[failed]) == ("out of memory", "no store")
    [parked] = [seen for seen in told["failed"] if seen["message"] == f"x is parked {mark}"]
    assert (parked["state"], parked["times"]) == ("Parked", 3)
    text = lorp("status").out
    assert f"/runs/flow-run/{waiting}" in text
    assert "Parked (3 times)" in text


def test_it_imports_no_torch_and_starts_no_server(there: Path, tmp_path: Path) -> None:
    code = "import sys, flows.cli; flows.cli.run(['status', '--json']); print(*sys.modules, file=sys.stderr)"
    environment = {"LORP_HOME": str(there), "PREFECT_HOME": str(tmp_path / "prefect"), "PATH": "/usr/bin:/bin"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["prefect"] is None
    assert not {"torch", "transformers"} & set(done.stderr.split())
    assert not list((tmp_path / "prefect").glob("*.db"))
