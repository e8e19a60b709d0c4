"""A claim keeps others waiting, is taken over from who is gone or silent, and nobody's word counts twice."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lorp.digest import canonical_json
from lorp.errors import RegistryError
from tasks import claims
from tasks.claims import Entry, Log, once, proposals
from tasks.processes import Process, has_ended, this_process
from tasks.store import ObjectStore, open_store

SUBJECT = ["name", "verdict"]
ELSEWHERE = Process(host="elsewhere", machine="another", number=1, began="1")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORP_CLAIM_SECONDS", "0.2")


def log(store: ObjectStore) -> Log:
    return Log(store=store, subject=SUBJECT)


def claimed_by(store: ObjectStore, process: Process) -> None:
    """Leaves a claim of a process."""
    theirs = log(store)
    theirs.add(theirs.entries())
    [key] = store.keys("claims")
    entry = replace(Entry(**json.loads(store.read(key))), process=asdict(process))
    store.remove(key, store.fingerprint(key))
    store.create(key, canonical_json(asdict(entry)))


def settle(store: ObjectStore, value: str) -> str:
    """Proposes a value, unless one was proposed."""
    mine = log(store)

    def act() -> str:
        mine.add(mine.entries(), value)
        return proposals(mine.entries())[0]

    return once(mine, lambda entries: next(iter(proposals(entries)), None), act)


def test_of_many_at_once_one_acts_and_all_return_the_same(store: ObjectStore) -> None:
    barrier, returned = threading.Barrier(8), []

    def race(value: str) -> None:
        barrier.wait()
        returned.append(settle(store, value))

    threads = [threading.Thread(target=race, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(returned) == 8
    assert len(set(returned)) == 1
    assert len(log(store).entries()) == 2


def test_what_a_killed_process_had_in_hand_is_taken_over_at_once(store: ObjectStore) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    state = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    process = replace(this_process(), number=child.pid, began=state[19])
    claimed_by(store, process)
    assert not has_ended(process)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked yet how it ended
    assert has_ended(process)
    assert settle(store, "mine") == "mine"
    child.communicate()
    assert has_ended(process)


def test_another_process_of_the_same_number_is_not_the_one_that_claimed() -> None:
    assert not has_ended(this_process())
    assert has_ended(replace(this_process(), began="1"))


@pytest.mark.usefixtures("soon")
def test_one_of_another_machine_is_taken_over_when_nothing_is_heard(store: ObjectStore) -> None:
    claimed_by(store, ELSEWHERE)
    assert not has_ended(ELSEWHERE)
    assert settle(store, "mine") == "mine"


def test_an_attempt_that_failed_here_keeps_nobody_waiting(store: ObjectStore) -> None:
    def fail() -> str:
        raise RegistryError("no", "none")

    with pytest.raises(RegistryError):
        once(log(store), lambda _: None, fail)
    assert settle(store, "mine") == "mine"


@pytest.mark.usefixtures("soon")
def test_a_slow_one_that_comes_back_agrees(store: ObjectStore) -> None:
    slow, taken = log(store), threading.Event()

    def act() -> str:
        before = slow.entries()
        assert settle(store, "quick") == "quick"  # waits for the slow one in vain, and takes over
        taken.set()
        assert not slow.add(before, "slow")
        return proposals(slow.entries())[0]

    assert once(slow, lambda entries: next(iter(proposals(entries)), None), act) == "quick"
    assert taken.is_set()


@pytest.mark.usefixtures("soon")
def test_an_entry_that_cannot_be_read_is_waited_for_and_passed_over(store: ObjectStore) -> None:
    claimed_by(store, ELSEWHERE)
    [key] = store.keys("claims")
    store.create(key.replace("1.json", "2.json"), b"{")
    assert settle(store, "mine") == "mine"


@pytest.mark.usefixtures("soon")
def test_taking_over_has_an_end(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed_by(store, ELSEWHERE)
    monkeypatch.setattr(claims.Log, "add", lambda *_: False)
    monkeypatch.setattr(claims, "_MOST_LOST", 2)
    with pytest.raises(RegistryError, match="Run again later"):
        settle(store, "mine")
