"""The contract of every object store. A new kind of store joins by a line in `STORES`."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from addresses import overwrite, remove

from lorp.digest import digest_bytes
from lorp.errors import IntegrityError, StoreError
from tasks.store import FolderStore, ObjectStore, open_store, store_to_read
from tasks.store.s3 import S3Store

PART_BYTES = 5 << 20

STORES: dict[str, Callable[[pytest.FixtureRequest], ObjectStore]] = {
    "folder": lambda request: FolderStore(request.getfixturevalue("tmp_path") / "store"),
    "s3": lambda request: S3Store(request.getfixturevalue("prefix"), PART_BYTES),
    "s3-whole-bucket": lambda request: S3Store(f"s3://{request.getfixturevalue('bucket')}", PART_BYTES),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> ObjectStore:
    return STORES[request.param](request)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that is sent in parts where that is done."""
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (2 * PART_BYTES // 256) + b"end")
    return path


def test_bytes_come_back(store: ObjectStore) -> None:
    assert store.create("values/a.json", b"one")
    assert store.read("values/a.json") == b"one"
    assert store.local("values/a.json").read_bytes() == b"one"


def test_all_of_a_folder_comes_back_at_once(store: ObjectStore) -> None:
    assert store.read_all("ledger/m") == {}
    written = {f"ledger/m/{number}.json": str(number).encode() for number in range(3)}
    for key, data in written.items():
        store.create(key, data)
    store.create("ledger/mm/0.json", b"another's")
    assert store.read_all("ledger/m") == written
    store.create("ledger/m/deeper/3.json", b"3")
    assert store.read_all("ledger/m") == {**written, "ledger/m/deeper/3.json": b"3"}


def test_files_come_back_and_the_original_stays(store: ObjectStore, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_bytes(b"weights")
    assert store.create("checkpoints/x/model", original)
    original.write_bytes(b"changed")
    assert store.read("checkpoints/x/model") == b"weights"


def test_large_files_come_back(store: ObjectStore, large: Path) -> None:
    assert store.create("checkpoints/x/model", large)
    assert store.local("checkpoints/x/model").read_bytes() == large.read_bytes()
    assert store.digest("checkpoints/x/model") == digest_bytes(large.read_bytes())
    assert not store.create("checkpoints/x/model", large)


def test_a_folder_s_bytes_come_back(store: ObjectStore) -> None:
    for key in ("checkpoints/x/config.json", "checkpoints/x/model", "checkpoints/xy/model"):
        store.create(key, key.encode())
    folder = store.local("checkpoints/x")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "config.json": "checkpoints/x/config.json",
        "model": "checkpoints/x/model",
    }


def test_nothing_is_overwritten(store: ObjectStore) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"


def test_one_of_many_racers_wins(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda racer: store.create("claim", str(racer).encode()), range(8)))
    assert won.count(True) == 1
    assert store.read("claim") == str(won.index(True)).encode()


def test_of_many_racers_with_large_files_a_winner_s_is_stored_whole(
    store: ObjectStore, large: Path, tmp_path: Path
) -> None:
    def race(racer: int) -> bool:
        mine = tmp_path / f"racer-{racer}"
        mine.write_bytes(large.read_bytes() + str(racer).encode())
        return store.create("claim", mine)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(race, range(8)))
    winners = [large.read_bytes() + str(racer).encode() for racer, one in enumerate(won) if one]
    assert store.read("claim") in winners
    # SeaweedFS lets uploads in parts through that are completed at the same instant (docs/storage.md).
    assert len(winners) == 1 or isinstance(store, S3Store)
    assert not store.create("claim", large)


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
    assert store.fingerprints("a") == {key: store.fingerprint(key) for key in ("a/1", "a/b/2")}


def test_a_missing_object_says_so(store: ObjectStore) -> None:
    assert store.fingerprint("a") is None
    for use in (store.read, store.local, store.digest, lambda key: store.move(key, "quarantine/a")):
        with pytest.raises(IntegrityError, match="a is not in the store"):
            use("a")


def test_moving_makes_room(store: ObjectStore) -> None:
    store.create("a", b"bad")
    store.move("a", "quarantine/a")
    assert store.fingerprint("a") is None
    assert store.read("quarantine/a") == b"bad"
    assert store.create("a", b"good")


def test_only_what_has_the_fingerprint_is_moved(store: ObjectStore) -> None:
    store.create("a", b"bad")
    before = store.fingerprint("a")
    overwrite(store.address("a"), b"good")
    with pytest.raises(IntegrityError, match="a is not in the store"):
        store.move("a", "quarantine/a", before)
    assert store.read("a") == b"good"
    store.move("a", "quarantine/a", store.fingerprint("a"))
    assert store.fingerprint("a") is None


def test_the_fingerprint_follows_the_content(store: ObjectStore) -> None:
    store.create("a", b"one")
    before = store.fingerprint("a")
    overwrite(store.address("a"), b"two")
    assert store.fingerprint("a") != before
    assert store.read("a") == store.local("a").read_bytes() == b"two"
    assert store.digest("a") == digest_bytes(b"two")


def test_a_listing_has_sizes_and_times(store: ObjectStore) -> None:
    before = time.time()
    store.create("values/a", b"one")
    store.create("values/b/c", b"four")
    listed = store.listing("values")
    assert {key: found.bytes for key, found in listed.items()} == {"values/a": 3, "values/b/c": 4}
    assert all(before - 2 <= found.changed <= time.time() + 2 for found in listed.values())
    assert {key: found.fingerprint for key, found in listed.items()} == store.fingerprints("values")
    assert store.listing("none") == {}


def test_the_stores_clock_is_that_of_its_times(store: ObjectStore) -> None:
    store.create("values/a", b"one")
    assert abs(store.clock() - store.listing("values")["values/a"].changed) < 60


def test_where_it_may_not_write_the_clock_is_this_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.store.folder.scratch_folder", _refuse)
    assert abs(FolderStore(tmp_path).clock() - time.time()) < 60


def _refuse(_: Path) -> None:
    raise PermissionError


def test_only_what_has_the_fingerprint_is_removed(store: ObjectStore) -> None:
    store.create("values/x/a", b"one")
    before = store.fingerprint("values/x/a")
    overwrite(store.address("values/x/a"), b"two")
    assert not store.remove("values/x/a", before)
    assert store.read("values/x/a") == b"two"
    now = store.fingerprint("values/x/a")
    assert store.remove("values/x/a", now)
    assert store.keys("values") == []
    assert not store.remove("values/x/a", now)
    assert store.create("values/x/a", b"three")


def test_what_is_removed_and_made_again_by_many_at_once_is_there_whole_or_not_at_all(store: ObjectStore) -> None:
    def work(worker: int) -> None:
        for _ in range(10):
            if worker % 2:
                store.create("values/x/a", b"one")
            else:
                fingerprint = store.fingerprint("values/x/a")
                if fingerprint:
                    store.remove("values/x/a", fingerprint)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    store.create("values/x/a", b"one")
    assert store.read("values/x/a") == b"one"


def test_a_moved_object_counts_as_changed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.create("values/a", b"one")
    os.utime(tmp_path / "store" / "values" / "a", (0, 0))
    store.move("values/a", "quarantine/x/a")
    assert store.listing("quarantine")["quarantine/x/a"].changed > time.time() - 60


def test_to_look_at_a_store_makes_nothing(tmp_path: Path) -> None:
    assert store_to_read(str(tmp_path / "none")) is None
    (tmp_path / "some" / "values").mkdir(parents=True)
    (tmp_path / "some" / "values" / "a").write_bytes(b"one")
    found = store_to_read((tmp_path / "some").as_uri())
    assert found
    assert found.read("values/a") == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["some"]
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["values"]


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
    with open_store(str(tmp_path)).scratch() as living:
        open_store(str(tmp_path))
        assert not left[0].exists()
        assert living.exists()


def test_refuses_keys_that_lead_elsewhere(store: ObjectStore) -> None:
    for key in ("", "/a", "../a", "a/../b", "a//b", ".hidden", "a\0", "a b", "ä"):
        for use in (store.read, store.local, store.keys, store.fingerprint, lambda key: store.create(key, b"")):
            with pytest.raises(IntegrityError):
                use(key)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(str(tmp_path / "file" / "store"))


def test_addresses_open_the_same_store(tmp_path: Path) -> None:
    open_store(str(tmp_path / "my store")).create("a", b"one")
    assert open_store((tmp_path / "my store").as_uri()).read("a") == b"one"
    assert open_store(f"file://localhost{tmp_path}/my%20store").read("a") == b"one"
    for address in ("file://data/results", f"file://{tmp_path}?a=b", f"file://{tmp_path}#a"):
        with pytest.raises(StoreError, match="is no folder of this machine"):
            open_store(address)
    with pytest.raises(StoreError, match="ftp://"):
        open_store("ftp://host/path")


def test_a_folder_that_is_closed_is_not_taken_for_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    store.create("ledger/pico/one", b"1")
    real = os.scandir

    def closed(path: Any) -> Any:  # nothing is closed to root
        if str(path).endswith("pico"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    for look in (store.keys, store.listing, store.fingerprints, store.read_all):
        with pytest.raises(StoreError, match="pico cannot be listed: Permission denied"):
            look("ledger")


def test_what_goes_while_all_is_read_counts_as_gone_before(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        store.create(f"stages/{name}", name.encode())
    listing = "keys" if isinstance(store, FolderStore) else "states"
    real = getattr(store, listing)

    def listed(prefix: str) -> Any:
        found = real(prefix)
        remove(store.address("stages/one"))
        return found

    monkeypatch.setattr(store, listing, listed)
    assert store.read_all("stages") == {"stages/two": b"two"}
