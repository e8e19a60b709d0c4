"""Whole runs over a network that loses answers, and servers that fail: right, or a typed error and right after that."""

import itertools
import os
import random
from collections import Counter
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

from tasks.store import s3_bucket
from tasks.store.s3 import S3Store
from tasks.vault import open_vault

#: The least that S3 takes, so that a pico model's weights are sent in parts.
_PART_BYTES = 5 << 20
_SHARE = 0.2
#: What fails for reasons that may pass; a 409 only where a write was conditional.
_FAULTS: tuple[Fault, ...] = ("busy", "broken", "reset", "lost", "truncated", "slow", "conflict")
_WRITES = ("PUT", "POST", "DELETE")
#: Within these, in seconds, a call is tried once, and two or three times; runs then fail.
_SHORT_DEADLINES = (0.0, 0.3)
#: Runs of a trial with a short deadline, each disturbed from a later call on.
_ROUNDS = 4
#: About as many calls as a whole run makes.
_CALLS = 150
#: Tells a child how long it waits for an answer.
_READ_VARIABLE = "LORP_TEST_READ_SECONDS"
#: How long an answer is waited for in some trials, and how long a slow one takes.
_READ_SECONDS, _SLOW_SECONDS = 1, 1.5


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

    def within(self, seconds: float) -> "Run":
        """The same, which gives a call of S3 up after so many seconds."""
        return replace(self, environment={**self.environment, "LORP_S3_DEADLINE": str(seconds)})

    def waiting(self, seconds: int) -> "Run":
        """The same, which waits so many seconds for an answer before it asks again."""
        return replace(self, environment={**self.environment, _READ_VARIABLE: str(seconds)})

    def state(self) -> dict[str, Any]:
        """What is there, looked at undisturbed."""
        found: dict[str, Any] = child(state, environment=self.environment).end().whole()
        return found


def _recompress(source: str, name: str) -> dict[str, Any]:
    S3Store.__init__.__defaults__ = (_PART_BYTES,)
    s3_bucket._READ_SECONDS = int(os.environ.get(_READ_VARIABLE, s3_bucket._READ_SECONDS))
    creations = watched_creations()
    outcome = jobs.recompress(Path(source), name)
    made = dict(sorted(creations.items()))
    open_vault.cache_clear()
    return {"verdict": outcome["verdict"]["id"], "version": outcome["model_version"], "creations": made}


def watched_creations() -> Counter[str]:
    """How often the store says from now on that it has made an object of a kind, and that there was one."""
    said: Counter[str] = Counter()
    create = S3Store.create

    def noted(store: S3Store, key: str, source: bytes | Path, lock: bool = False) -> bool:
        made = create(store, key, source, lock)
        said[f"{key.partition('/')[0]} {'made' if made else 'there'}"] += 1
        return made

    S3Store.create = noted  # type: ignore[method-assign]
    return said


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
            proxy.slow_seconds = 0.1
            if number % 3 == 0:  # a slow answer is given up
                run = run.waiting(_READ_SECONDS)
                proxy.slow_seconds = _SLOW_SECONDS
            with tried.trial(number) as figures:
                if number % 2:
                    fail_again_and_again(run, proxy, number, expected[0], figures)
                else:
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


def fail_again_and_again(run: Run, proxy: FaultyProxy, seed: int, expected: Any, figures: dict[str, float]) -> None:
    """Runs whose deadline is short, disturbed from some call of theirs on, fail loudly, and go well in the end."""
    hasty = run.within(_SHORT_DEADLINES[seed // 2 % len(_SHORT_DEADLINES)])
    chance, disturbed, failed = random.Random(seed), 0, 0
    for _ in range(_ROUNDS):
        proxy.choose = later(some(chance.randrange(1 << 30)), chance.randrange(_CALLS))
        proxy.done.clear()
        ended = hasty.once(endpoint=proxy.url)
        check_typed(ended)
        disturbed, failed = disturbed + sum(proxy.done.values()), failed + (ended.status != 0)
    assert failed
    proxy.choose = lambda *_: None
    figures["calls disturbed"], figures["failed loudly"] = disturbed, failed
    assert run.once().whole()["verdict"] == expected["verdict"]


def check_typed(ended: Ended) -> None:
    """It went well, or said by an error of lorp's own that it did not."""
    if ended.fault:
        assert "LorpError" in ended.fault[0].split(","), ended.fault[2]
    else:
        ended.whole()


def fail_and_go_on(run: Run, ended: Ended, expected: Any, proxy: FaultyProxy, figures: dict[str, float]) -> None:
    """A run that did not go well said so by a typed error, and goes well when nothing fails."""
    figures["calls disturbed"], figures["failed loudly"] = sum(proxy.done.values()), ended.status != 0
    proxy.choose = lambda *_: None
    proxy.done.clear()
    assert figures["calls disturbed"]
    check_typed(ended)
    again = run.once().whole()
    assert again["verdict"] == expected["verdict"]
    for what in ("verdict", "version"):
        assert ended.fault or ended.value[what] == again[what]


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


def later(chooser: Chooser, calls: int) -> Chooser:
    """What a chooser says, once so many calls have gone well."""
    count = itertools.count()
    return lambda *call: chooser(*call) if next(count) >= calls else None


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
