"""Whole runs over a network that loses answers, and servers that fail: right, or a typed error and right after that."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import jobs
import pytest
from buckets import s3_environment, scratch, uploads
from checks import state
from children import Ended, child
from faulty import Chooser, Fault, FaultyProxy, faulty_proxy_to
from pico import make_pico
from registries import num_runs
from rows import trials

from tasks.store.s3 import S3Store
from tasks.vault import open_vault

#: The least that S3 takes, so that a pico model's weights are sent in parts.
_PART_BYTES = 5 << 20
_SHARE = 0.2
#: What fails for reasons that may pass; a 409 only where a write was conditional.
_FAULTS: tuple[Fault, ...] = ("busy", "broken", "reset", "lost", "truncated", "slow", "conflict")
_WRITES = ("PUT", "POST", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One whole run, made as often as it takes.

    Attributes:
        source: The checkpoint.
        name: The model's.
        environment: Where all is.
    """

    source: Path
    name: str
    environment: Mapping[str, str | None]

    def once(self, endpoint: str | None = None, registry: str | None = None) -> Ended:
        """Makes it, by way of these addresses if they are given; then says what is there."""
        ways = {"AWS_ENDPOINT_URL": endpoint, "MLFLOW_TRACKING_URI": registry}
        environment = {**self.environment, **{name: way for name, way in ways.items() if way}}
        return child(_recompress, str(self.source), self.name, environment=environment).end()

    def state(self) -> dict[str, Any]:
        """What is there, looked at undisturbed."""
        found: dict[str, Any] = child(state, environment=self.environment).end().whole()
        return found


def _recompress(source: str, name: str) -> dict[str, Any]:
    S3Store.__init__.__defaults__ = (_PART_BYTES,)
    outcome = jobs.recompress(Path(source), name)
    open_vault.cache_clear()
    return {"verdict": outcome["verdict"]["id"], "version": outcome["model_version"]}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pico checkpoint whose weights, and whose variant's, are sent in parts."""
    return make_pico(tmp_path_factory.mktemp("wide") / "wide", intermediate_size=5000)


@pytest.fixture(scope="module")
def expected(wide: Path, s3_server: str, shared_bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an undisturbed run comes to, and what is there then."""
    run = in_bucket(wide, s3_server, shared_bucket, tmp_path_factory.mktemp("undisturbed"), registry=None)
    return run.once().whole(), run.state()


def in_bucket(source: Path, endpoint: str, bucket: str, home: Path, registry: str | None) -> Run:
    """A run with a store of its own in the bucket."""
    settings = {"MLFLOW_TRACKING_URI": registry, "LORP_S3_DEADLINE": "20", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    environment = s3_environment(endpoint, f"s3://{bucket}/network/{uuid4().hex}", home)
    return Run(source=source, name="pico", environment={**environment, **settings})


def test_every_answer_to_a_write_is_lost_once(
    wide: Path, expected: Any, s3_server: str, shared_bucket: str, tmp_path: Path
) -> None:
    tried = trials("answers_lost")
    with faulty_proxy_to(s3_server) as proxy:
        for number in tried.left():
            run = in_bucket(wide, s3_server, shared_bucket, tmp_path / str(number), registry=None)
            with tried.trial(number) as figures:
                proxy.choose, proxy.done["lost"] = each_once("lost", _WRITES), 0
                assert run.once(endpoint=proxy.url).whole() == expected[0]
                figures["answers lost"] = proxy.done["lost"]
                assert proxy.done["lost"] > 30
                check_clean(run, s3_server)
                assert run.state() == expected[1]


def test_a_fifth_of_the_calls_fails_or_is_slow(
    wide: Path, expected: Any, s3_server: str, shared_bucket: str, tmp_path: Path
) -> None:
    tried = trials("failing_calls")
    with faulty_proxy_to(s3_server) as proxy:
        for number in tried.left():
            run = in_bucket(wide, s3_server, shared_bucket, tmp_path / str(number), registry=None)
            with tried.trial(number) as figures:
                proxy.choose = some(number)
                fail_and_go_on(run, run.once(endpoint=proxy.url), expected[0], proxy, figures)
                check_clean(run, s3_server)
                assert run.state() == expected[1]


@pytest.mark.faults
def test_a_registry_loses_answers_and_fails(
    pico: Path, s3_server: str, shared_bucket: str, mlflow_server: str, tmp_path: Path
) -> None:
    tried = trials("failing_registry")
    run = in_bucket(pico, s3_server, shared_bucket, tmp_path / "home", mlflow_server)
    undisturbed = run.once().whole()  # all stages are there from now on
    with faulty_proxy_to(mlflow_server) as proxy:
        for number in tried.left():
            run = replace(run, name=f"pico-{uuid4().hex}")
            with tried.trial(number) as figures:
                proxy.choose = some(number) if number % 2 else each_once("lost", _WRITES)
                fail_and_go_on(run, run.once(registry=proxy.url), undisturbed, proxy, figures)
                assert num_runs(mlflow_server, run.name) == 1
                model = run.state()["models"][run.name]
                assert [len(model["entries"]), len(model["versions"])] == [1, 1]


def fail_and_go_on(run: Run, ended: Ended, expected: Any, proxy: FaultyProxy, figures: dict[str, float]) -> None:
    """A run that did not go well said so by a typed error, and goes well when nothing fails."""
    figures["calls disturbed"], figures["failed loudly"] = sum(proxy.done.values()), ended.status != 0
    proxy.choose = lambda *_: None
    proxy.done.clear()
    assert figures["calls disturbed"]
    if ended.fault:
        assert "LorpError" in ended.fault[0].split(","), ended.fault[2]
    again = run.once().whole()
    assert again["verdict"] == expected["verdict"]
    assert ended.fault or ended.value == again


def check_clean(run: Run, endpoint: str) -> None:
    """Nothing half-done is left: neither uploads nor work in progress."""
    assert not uploads(endpoint, str(run.environment["LORP_STORE"]))
    assert not scratch(Path(str(run.environment["LORP_HOME"])))


def each_once(fault: Fault, methods: tuple[str, ...]) -> Chooser:
    """The first time of every call that changes something."""
    seen: set[tuple[str, str]] = set()

    def choose(method: str, path: str, _: Mapping[str, str]) -> Fault | None:
        # An upload that was begun anew has another id; its parts are others.
        first = method in methods and (method, path) not in seen
        seen.add((method, path))
        return fault if first else None

    return choose


def some(seed: int) -> Chooser:
    """A fifth of all calls, by chance."""
    chance = random.Random(seed)

    def choose(method: str, _: str, headers: Mapping[str, str]) -> Fault | None:
        if chance.random() >= _SHARE:
            return None
        fault = chance.choice(_FAULTS)
        conditional = method in _WRITES and "If-None-Match" in headers
        return "busy" if fault == "conflict" and not conditional else fault

    return choose
