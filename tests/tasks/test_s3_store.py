"""What only a store in S3 can meet: lost answers, half-sent uploads, damage on the way, refusals, stale copies."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from addresses import content, overwrite, s3, unfinished_uploads
from model_hub import ModelHub
from proxy import Loss, Proxy
from servers import S3_CREDENTIALS, S3_READER, free_port

from lorp.digest import digest_bytes
from lorp.errors import InputError, IntegrityError, LorpError, OutageError, StoreError
from tasks.store import open_store
from tasks.store.s3 import S3Store
from tasks.store.s3_bucket import Bucket
from tasks.store.s3_upload import abort_stale

PART_BYTES = 5 << 20


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.store.s3 import S3Store
from tasks.store.s3_bucket import Bucket
call = Bucket.call
def killed(self, operation, **named):
    if operation == "complete_multipart_upload":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = call(self, operation, **named)
    if operation == "create_multipart_upload":
        call(self, operation, **named)  # as if its first answer had been lost
    return answer
Bucket.call = killed
S3Store(sys.argv[1], int(sys.argv[2])).create("large", Path(sys.argv[3]))
"""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (2 * PART_BYTES // 256) + b"end")
    return path


@pytest.fixture
def whole(bucket: str, proxy: Proxy) -> Iterator[S3Store]:
    """A store in a bucket of its own, behind the proxy; nothing half-sent may be left in it."""
    yield S3Store(f"s3://{bucket}/store", PART_BYTES)
    assert unfinished_uploads(bucket) == []


def test_a_fresh_digest_is_of_what_the_bucket_sends_and_keeps_no_copy(whole: S3Store, proxy: Proxy, home: Path) -> None:
    whole.create("values/a", b"one")
    for _ in range(2):
        proxy.seen.clear()
        assert whole.fresh_digest("values/a") == digest_bytes(b"one")
        assert "GET" in [method for method, _ in proxy.seen]
    assert [path for path in home.rglob("*") if path.is_file() and path.read_bytes() == b"one"] == []
    with pytest.raises(IntegrityError, match="values/b is not in the store"):
        whole.fresh_digest("values/b")


def test_a_won_race_whose_answer_was_lost_is_won(whole: S3Store, proxy: Proxy) -> None:
    proxy.lose_once("answer", "PUT")
    assert whole.create("a", b"one")
    assert [method for method, _ in proxy.seen].count("PUT") == 2
    assert not whole.create("a", b"one")


def test_a_lost_race_whose_answer_was_lost_is_lost(whole: S3Store, proxy: Proxy) -> None:
    assert whole.create("a", b"same")
    proxy.lose_once("answer", "PUT")
    assert not whole.create("a", b"same")


def test_a_won_race_in_parts_whose_answer_was_lost_is_won(whole: S3Store, proxy: Proxy, large: Path) -> None:
    proxy.lose_once("answer", "POST", "uploadId=")
    assert whole.create("a", large)
    assert whole.read("a") == large.read_bytes()


def test_a_race_in_parts_that_another_wins_meanwhile_is_lost(whole: S3Store, proxy: Proxy, large: Path) -> None:
    def other_first(method: str, path: str) -> None:
        if method == "POST" and "uploadId=" in path:
            proxy.lose = lambda _method, _path: None
            overwrite(whole.address("a"), b"theirs")

    proxy.lose = other_first
    assert not whole.create("a", large)
    assert whole.read("a") == b"theirs"


def test_what_is_there_already_is_not_sent(whole: S3Store, proxy: Proxy, large: Path) -> None:
    whole.create("a", b"one")
    proxy.seen.clear()
    assert not whole.create("a", large)
    assert [method for method, _ in proxy.seen] == ["HEAD"]


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_lost_part_is_sent_again(whole: S3Store, proxy: Proxy, large: Path, what: Any) -> None:
    proxy.lose_once(what, "PUT", "partNumber=2")
    assert whole.create("a", large)
    assert whole.read("a") == large.read_bytes()


def test_an_upload_that_fails_in_the_middle_leaves_nothing(
    bucket: str, proxy: Proxy, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORP_S3_DEADLINE", "0.5")
    store = S3Store(f"s3://{bucket}/store", PART_BYTES)
    proxy.lose = lambda method, path: "request" if method == "PUT" and "partNumber=2" in path else None
    with pytest.raises(OutageError):
        store.create("a", large)
    assert unfinished_uploads(bucket) == []
    assert store.fingerprint("a") is None


def test_an_upload_that_is_interrupted_leaves_nothing(
    whole: S3Store, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.store.s3_upload._complete", interrupt)
    with pytest.raises(KeyboardInterrupt):
        whole.create("a", large)


def test_uploads_that_others_gave_up_long_ago_are_ended_and_no_others(bucket: str) -> None:
    for key in ("store/old", "elsewhere/old"):
        s3().create_multipart_upload(Bucket=bucket, Key=key)
    S3Store(f"s3://{bucket}/store")
    S3Store(f"s3://{bucket}")
    assert sorted(unfinished_uploads(bucket)) == ["elsewhere/old", "store/old"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    abort_stale(Bucket(bucket), "store/", tomorrow.timestamp())
    assert unfinished_uploads(bucket) == ["elsewhere/old"]


def test_a_half_sent_answer_is_asked_for_again(whole: S3Store, proxy: Proxy) -> None:
    whole.create("a", b"one" * 1000)
    proxy.lose_once("half of the answer", "GET")
    assert whole.read("a") == b"one" * 1000
    proxy.lose_once("half of the answer", "GET", "store/a")
    assert whole.local("a").read_bytes() == b"one" * 1000


def test_what_comes_too_slowly_is_given_up(whole: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole.create("one", b"1" * 100)
    monkeypatch.setattr("tasks.store.s3_bucket._READ_SECONDS", -70)
    monkeypatch.setattr("tasks.store.s3_bucket._LEAST_BYTES_A_SECOND", 1)
    assert whole.read("one") == b"1" * 100, "just fast enough"
    monkeypatch.setattr("tasks.store.s3_bucket._LEAST_BYTES_A_SECOND", 2)
    monkeypatch.setattr(whole._bucket, "_deadline", 0.2)
    with pytest.raises(OutageError, match="ReadTimeoutError"):
        whole.read("one")


def test_bytes_damaged_on_their_way_are_not_stored(whole: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = []

    def damage(request: Any, **_: object) -> None:
        if not damaged:
            damaged.append(request.body)
            request.body = b"two"

    whole._bucket._client.meta.events.register("before-send.s3.PutObject", damage)
    assert whole.create("a", b"one")
    assert damaged
    assert whole.read("a") == b"one"


def test_objects_carry_their_sha256(whole: S3Store, bucket: str, large: Path) -> None:
    whole.create("a", b"one")
    whole.create("b", large)
    for key, data in (("a", b"one"), ("b", large.read_bytes())):
        head = s3().head_object(Bucket=bucket, Key=f"store/{key}", ChecksumMode="ENABLED")
        assert head["Metadata"]["lorp-sha256"] == digest_bytes(data)


def test_listings_come_in_pages(whole: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"a/{number}" for number in range(5)]
    for key in keys:
        whole.create(key, key.encode())
    monkeypatch.setattr(whole._bucket, "call", lambda *names, **asked: _call(whole, *names, **{"MaxKeys": 2, **asked}))
    assert whole.keys("a") == keys


def _call(store: S3Store, operation: str, **parameters: Any) -> Any:
    return Bucket.call(store._bucket, operation, **parameters)


def test_copies_are_kept_and_used_again(whole: S3Store, bucket: str, proxy: Proxy) -> None:
    whole.create("x/a", b"one")
    whole.local("x/a")
    again = S3Store(f"s3://{bucket}/store")
    proxy.seen.clear()
    assert again.local("x").joinpath("a").read_bytes() == b"one"
    assert again.digest("x/a") == digest_bytes(b"one")
    assert not [path for method, path in proxy.seen if method == "GET" and "list-type" not in path]


def test_what_was_in_scratch_becomes_the_copy(whole: S3Store, proxy: Proxy) -> None:
    with whole.scratch() as folder:
        (folder / "model").write_bytes(b"weights")
        whole.create("x/model", folder / "model")
    proxy.seen.clear()
    assert whole.local("x/model").read_bytes() == b"weights"
    assert [path for method, path in proxy.seen if method == "GET" and "list-type" not in path] == []


@pytest.mark.parametrize("same_process", [True, False])
@pytest.mark.parametrize("what", ["changed", "removed", "linked", "note"])
def test_a_spoilt_copy_is_fetched_again(
    whole: S3Store, bucket: str, tmp_path: Path, same_process: bool, what: str
) -> None:
    whole.create("x/a", b"one")
    copy = whole.local("x/a")
    (note,) = (path for path in (tmp_path / "home" / "cache").rglob("a.json"))
    match what:
        case "changed":
            copy.write_bytes(b"two")
        case "removed":
            copy.unlink()
        case "linked":
            (tmp_path / "two").write_bytes(b"two")
            copy.unlink()
            copy.symlink_to(tmp_path / "two")
        case "note":
            copy.write_bytes(b"two")
            note.write_bytes(b"{]")
    store = whole if same_process else S3Store(f"s3://{bucket}/store")
    assert store.digest("x/a") == digest_bytes(b"one")
    assert store.local("x").joinpath("a").read_bytes() == b"one"
    assert not copy.is_symlink()


def test_what_is_added_to_a_folder_s_copy_is_removed(whole: S3Store) -> None:
    whole.create("x/a", b"one")
    (whole.local("x") / "modeling_evil.py").write_bytes(b"import os")
    assert [path.name for path in whole.local("x").iterdir()] == ["a"]


def test_names_that_lead_elsewhere_are_not_copied(whole: S3Store, bucket: str, tmp_path: Path) -> None:
    whole.create("x/a", b"one")
    s3().put_object(Bucket=bucket, Key="store/x/.hidden", Body=b"two")
    assert [path.name for path in whole.local("x").iterdir()] == ["a"]
    assert whole.keys("x") == ["x/.hidden", "x/a"]


def test_two_places_do_not_share_copies(bucket: str) -> None:
    ours, theirs = (S3Store(f"s3://{bucket}/{prefix}") for prefix in ("ours", "theirs"))
    ours.create("a", b"one")
    theirs.create("a", b"two")
    assert (ours.local("a").read_bytes(), theirs.local("a").read_bytes()) == (b"one", b"two")


def test_threads_may_share_a_store(whole: S3Store) -> None:
    whole.create("x/a", b"one" * 100_000)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: whole.digest("x/a"), range(8))) == {digest_bytes(b"one" * 100_000)}


def test_a_large_object_moves_too(whole: S3Store, large: Path) -> None:
    whole.create("a", large)
    whole.move("a", "quarantine/a")
    assert whole.keys("quarantine") == ["quarantine/a"]
    assert content(whole.address("quarantine/a")) == large.read_bytes()


def refused(address: str) -> LorpError:
    with pytest.raises(LorpError) as caught:
        open_store(address)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert S3_CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in said
    return caught.value


def test_a_missing_bucket_is_said_in_one_line(aws: None, s3_server: str) -> None:
    fault = refused("s3://not-there/prefix")
    assert isinstance(fault, StoreError)
    assert f"there is no bucket not-there at {s3_server}" in str(fault)


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("AWS_SECRET_ACCESS_KEY", "hidden-but-wrong", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId"),
        ("AWS_ACCESS_KEY_ID", "", "not set"),
        ("AWS_PROFILE", "none-such", "none-such"),
        ("AWS_ENDPOINT_URL", "http://user:password@[bad", "Invalid"),
    ],
)
def test_wrong_settings_are_said_in_one_line(
    prefix: str, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, word: str
) -> None:
    monkeypatch.setenv(setting, value)
    fault = refused(prefix)
    assert isinstance(fault, InputError)
    assert word in str(fault)
    assert "AWS_" in str(fault) or "AWS settings" in str(fault) or setting in str(fault)
    assert "hidden-but-wrong" not in str(fault)
    assert "password" not in str(fault)


def test_a_missing_permission_is_said_in_one_line(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3_READER.items():
        monkeypatch.setenv(name, value)
    store = open_store(prefix)
    with pytest.raises(StoreError, match=r"forbids PutObject .* policy"):
        store.create("a", b"one")


def test_an_endpoint_that_is_not_there_is_said_once_the_deadline_has_passed(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:password@127.0.0.1:{free_port()}")
    monkeypatch.setenv("LORP_S3_DEADLINE", "0.2")
    fault = refused(prefix)
    assert isinstance(fault, OutageError)
    assert fault.can_pass
    assert "AWS_ENDPOINT_URL" in str(fault)
    assert "password" not in str(fault)


def test_an_endpoint_that_comes_back_is_used(whole: S3Store, proxy: Proxy) -> None:
    left = ["request", "request", "request"]
    proxy.lose = lambda _method, _path: left.pop() if left else None
    assert whole.create("a", b"one")
    assert not left


def test_an_endpoint_that_is_no_s3_server_is_said_in_one_line(
    prefix: str, model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(prefix)
    monkeypatch.setenv("AWS_ENDPOINT_URL", model_hub.url)
    fault = refused(prefix)
    assert isinstance(fault, StoreError)
    assert "does not answer as S3 does" in str(fault)
    store._bucket = Bucket("shared")
    with pytest.raises(StoreError, match="does not answer as S3 does"):
        store.keys("x")


@pytest.mark.parametrize("address", ["s3://", "s3://B/x", "s3://bucket/../x", "s3://bucket/x?y", "s3://bucket/a b"])
def test_what_is_no_address_is_refused(aws: None, address: str) -> None:
    assert "is no address in S3" in str(refused(address))


def test_what_a_killed_process_had_begun_to_send_is_ended_when_the_store_is_opened(
    whole: S3Store, bucket: str, large: Path
) -> None:
    address = f"s3://{bucket}/store"
    command = [sys.executable, "-c", KILLED, address, str(PART_BYTES), str(large)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert unfinished_uploads(bucket) == ["store/large"] * 2
    S3Store(address)  # only looks
    assert unfinished_uploads(bucket) == ["store/large"] * 2
    open_store(address)
    assert unfinished_uploads(bucket) == []


def test_what_was_begun_when_s3_fell_silent_is_ended_when_the_store_is_opened(
    bucket: str, proxy: Proxy, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"s3://{bucket}/store"
    monkeypatch.setenv("LORP_S3_DEADLINE", "0")
    store, silent = S3Store(address, PART_BYTES), []

    def lose(method: str, path: str) -> Loss | None:
        silent.extend([path] if "partNumber=2" in path else [])
        return "request" if silent else None

    proxy.lose = lose
    with pytest.raises(OutageError):
        store.create("large", large)
    proxy.lose = lambda *_: None
    assert unfinished_uploads(bucket) == ["store/large"]
    open_store(address)
    assert unfinished_uploads(bucket) == []


def test_an_upload_that_another_ended_meanwhile_is_begun_anew(whole: S3Store, proxy: Proxy, large: Path) -> None:
    def end(method: str, path: str) -> None:
        if method == "PUT" and "partNumber=2" in path:
            proxy.lose = lambda _method, _path: None
            place = urlsplit(path)
            name, upload = place.path.split("/", 2), parse_qs(place.query)["uploadId"][0]
            s3().abort_multipart_upload(Bucket=name[1], Key=name[2], UploadId=upload)

    proxy.lose = end
    assert whole.create("large", large)
    assert whole.digest("large") == digest_bytes(large.read_bytes())


def test_half_of_a_listing_or_of_a_refusal_is_asked_for_again(whole: S3Store, proxy: Proxy) -> None:
    whole.create("a/b", b"one")
    proxy.lose_once("half of the answer", "GET", "list-type")
    assert whole.keys("a") == ["a/b"]
    proxy.lose_once("half of the answer", "GET", "store/none")
    with pytest.raises(IntegrityError, match="is not in the store"):
        whole.read("none")
