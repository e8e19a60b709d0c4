"""Prefect's side of a stage: what is tried again, what is not, and that nothing is decoded into objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prefect import flow

from lorp.errors import LorpError, RegistryError, SourceError
from tasks.cache import PLAIN_JSON, run, stage
from tasks.runner import InFlow
from tasks.stage import Outputs, Request
from tasks.vault import Manifest, Vault, open_vault


@dataclass(frozen=True, kw_only=True)
class Flaky(Request):
    """Fails as often as it is told."""

    STAGE: ClassVar[str] = "flaky"
    VERSION: ClassVar[int] = 1
    faults: ClassVar[list[Exception]] = []
    name: str

    def inputs(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        if self.faults:
            raise self.faults.pop()
        return {"value": vault.put("values", self.name.encode(), ".json")}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> None:
    monkeypatch.setattr("tasks.cache.stage", stage.with_options(retry_delay_seconds=0))


def run_in_flow(store: Path, request: Request) -> Manifest:
    return flow(lambda: run(str(store), request, InFlow()), name="test")()


@pytest.mark.parametrize("fault", [OSError("disk"), ConnectionError("gone"), RegistryError("busy", "wait")])
def test_faults_that_can_pass_are_tried_again(tmp_path: Path, fault: Exception) -> None:
    Flaky.faults[:] = [fault, fault]
    assert run_in_flow(tmp_path, Flaky(name="x")).outputs["value"].key.startswith("values/")


@pytest.mark.parametrize("fault", [SourceError("bad", "mend it"), ValueError("wrong code"), LorpError("a", "b")])
def test_faults_that_cannot_pass_are_raised_at_once_as_they_are(tmp_path: Path, fault: Exception) -> None:
    Flaky.faults[:] = [OSError("would be next"), fault]
    with pytest.raises(type(fault), match=str(fault)):
        run_in_flow(tmp_path, Flaky(name="x"))
    assert len(Flaky.faults) == 1
    Flaky.faults.clear()


def test_a_result_that_prefect_remembers_and_the_store_lost_is_made_again(tmp_path: Path) -> None:
    request = Flaky(name="x")
    made = run_in_flow(tmp_path, request)
    path = open_vault(str(tmp_path)).store.local(made.outputs["value"].key)
    path.write_bytes(b"?")
    again = run_in_flow(tmp_path, request)
    assert again.outputs == made.outputs
    assert path.read_bytes() == b"x"


def test_what_prefect_remembers_of_another_store_does_not_mislead(tmp_path: Path) -> None:
    class Drifting(Flaky):
        """Gives other bytes each time, as another machine may."""

        def compute(self, vault: Vault, scratch: Path) -> Outputs:
            return {"value": vault.put("values", str(scratch).encode(), ".json")}

    first = run_in_flow(tmp_path / "ours", Drifting(name="y"))
    assert run_in_flow(tmp_path / "theirs", Drifting(name="y")).outputs != first.outputs
    assert run_in_flow(tmp_path / "ours", Drifting(name="y")) == first


def test_what_prefect_stored_is_never_decoded_into_objects() -> None:
    hostile = b'{"__class__": "subprocess.Popen", "data": ["true"]}'
    assert PLAIN_JSON.loads(hostile) == {"__class__": "subprocess.Popen", "data": ["true"]}
