"""The contract of every object store. A new kind of store joins by a line in `STORES`."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lorp.errors import IntegrityError, StoreError
from tasks.store import FolderStore, ObjectStore, open_store

STORES: dict[str, Callable[[Path], ObjectStore]] = {"folder": FolderStore}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return STORES[request.param](tmp_path / "store")


def test_bytes_come_back(store: ObjectStore) -> None:
    assert store.create("values/a.json", b"one")
    assert store.read("values/a.json") == b"one"
    assert store.local("values/a.json").read_bytes() == b"one"


def test_files_come_back_and_the_original_stays(store: ObjectStore, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_bytes(b"weights")
    assert store.create("checkpoints/x/model", original)
    original.write_bytes(b"changed")
    assert store.read("checkpoints/x/model") == b"weights"


def test_nothing_is_overwritten(store: ObjectStore) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"


def test_one_of_many_racers_wins(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda racer: store.create("claim", str(racer).encode()), range(8)))
    assert won.count(True) == 1
    assert store.read("claim") == str(won.index(True)).encode()


def test_scratch_files_are_taken_over_and_the_rest_goes(store: ObjectStore) -> None:
    with store.scratch() as folder:
        (folder / "kept").write_bytes(b"kept")
        (folder / "left").write_bytes(b"left")
        assert store.create("a/kept", folder / "kept")
    assert store.read("a/kept") == b"kept"
    assert not folder.exists()


def test_keys_are_listed_below_a_folder(store: ObjectStore) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        store.create(key, b"")
    assert store.keys("a") == ["a/1", "a/b/2"]
    assert store.keys("none") == []


def test_a_missing_object_says_so(store: ObjectStore) -> None:
    assert store.fingerprint("a") is None
    with pytest.raises(IntegrityError, match="not in the store"):
        store.read("a")


def test_moving_makes_room(store: ObjectStore) -> None:
    store.create("a", b"bad")
    store.move("a", "quarantine/a")
    assert store.fingerprint("a") is None
    assert store.read("quarantine/a") == b"bad"
    assert store.create("a", b"good")


def test_the_fingerprint_follows_the_content(store: ObjectStore) -> None:
    store.create("a", b"one")
    before = store.fingerprint("a")
    store.local("a").write_bytes(b"two")
    assert store.fingerprint("a") != before


def test_what_a_killed_process_left_is_swept_away_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tasks.store import FolderStore
with FolderStore(Path(sys.argv[1])).scratch() as folder:
    (folder / "half").write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    left = list(tmp_path.rglob("half"))
    assert left
    with FolderStore(tmp_path).scratch() as living:
        FolderStore(tmp_path)
        assert not left[0].exists()
        assert living.exists()


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a//b", ".hidden", "a\0", "a b", "ä"])
def test_refuses_keys_that_lead_elsewhere(store: ObjectStore, key: str) -> None:
    with pytest.raises(AssertionError):
        store.create(key, b"")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(str(tmp_path / "file" / "store"))


def test_addresses_open_the_same_store(tmp_path: Path) -> None:
    open_store(str(tmp_path / "my store")).create("a", b"one")
    assert open_store((tmp_path / "my store").as_uri()).read("a") == b"one"
    with pytest.raises(StoreError, match="ftp://"):
        open_store("ftp://host/path")
