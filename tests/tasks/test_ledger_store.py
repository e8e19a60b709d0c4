"""A ledger in a store: written by many at once it has neither gap nor fork, and nothing in it is ever replaced."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from addresses import remove, s3, spoil
from botocore.exceptions import ClientError

from lorp.errors import IntegrityError, SpecError
from lorp.ledger import Change, Standing, standing
from tasks.ledger import read_ledger, record
from tasks.store import open_store
from tasks.vault import Vault


@pytest.fixture(params=["folder", "s3"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    address = str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("prefix")
    return Vault(open_store(address))


def promotion(version: int) -> Change:
    return Change(
        act="promoted", version=version, variant="a" * 64, verdict="d" * 64, lineage="e" * 64, alias="production",
        flow_run="r", time="2026-11-25T00:00:00+00:00",
    )  # fmt: skip


def test_entries_are_read_back_in_their_order(vault: Vault) -> None:
    assert read_ledger(vault, "m") == ()
    written = [record(vault, "m", lambda _, version=version: promotion(version)) for version in (1, 2, 3)]
    assert read_ledger(vault, "m") == tuple(written)
    assert read_ledger(vault, "another") == ()


def test_every_one_of_many_racers_is_entered_once_on_what_stood_before_it(vault: Vault) -> None:
    def promote(version: int) -> None:
        seen: list[Standing] = []

        def decide(now: Standing) -> Change:
            seen.append(now)
            return promotion(version)

        entry = record(Vault(vault.store), "m", decide)
        assert entry
        before = read_ledger(vault, "m")[: entry.sequence - 1]
        assert seen[-1] == standing(before)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(promote, range(1, 17)))
    entries = read_ledger(vault, "m")
    assert sorted(entry.change.version for entry in entries) == list(range(1, 17))


def test_what_is_in_the_way_of_the_next_entry_is_said(tmp_path: Path) -> None:
    vault = Vault(open_store(str(tmp_path / "store")))
    record(vault, "m", lambda _: promotion(1))
    (tmp_path / "store" / "ledger" / "m" / "00000002.json").symlink_to("nowhere")
    with pytest.raises(IntegrityError, match="neither free nor readable"):
        record(vault, "m", lambda _: promotion(2))


def test_nothing_is_written_where_there_is_nothing_to_do(vault: Vault) -> None:
    record(vault, "m", lambda _: promotion(1))
    assert record(vault, "m", lambda now: None if now.now("production") == 1 else promotion(1)) is None
    assert len(read_ledger(vault, "m")) == 1


def test_what_is_refused_writes_nothing(vault: Vault) -> None:
    def refuse(_: Standing) -> Change:
        raise SpecError("no", "Ask for another")

    with pytest.raises(SpecError):
        record(vault, "m", refuse)
    assert read_ledger(vault, "m") == ()


@pytest.mark.parametrize("harm", [spoil, remove])
def test_a_changed_or_missing_entry_is_named(vault: Vault, harm: object) -> None:
    for version in (1, 2, 3):
        record(vault, "m", lambda _, version=version: promotion(version))
    harm(vault.store.address("ledger/m/00000002.json"))  # type: ignore[operator]
    with pytest.raises(IntegrityError, match="entry 2 of the ledger of m"):
        read_ledger(Vault(vault.store), "m")


def test_where_a_bucket_locks_objects_nobody_deletes_an_entry(aws: None) -> None:
    name = f"locked-{uuid4().hex}"
    s3().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    vault = Vault(open_store(f"s3://{name}/store"))
    record(vault, "m", lambda _: promotion(1))
    key = "store/ledger/m/00000001.json"
    found = s3().head_object(Bucket=name, Key=key)
    assert found["ObjectLockMode"] == "GOVERNANCE"
    assert found["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=3600)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3().delete_object(Bucket=name, Key=key, VersionId=found["VersionId"])
    vault.store.create("values/other", b"not locked")
    assert "ObjectLockMode" not in s3().head_object(Bucket=name, Key="store/values/other")


@pytest.mark.parametrize("name", ["../m", "", "a/b", ".m", "m" * 101])
def test_names_that_lead_elsewhere_are_refused(vault: Vault, name: str) -> None:
    with pytest.raises(SpecError, match="no model's name"):
        read_ledger(vault, name)
