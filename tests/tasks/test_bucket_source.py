"""`s3://bucket/prefix` as a source, against a real S3 server."""

import shutil
from pathlib import Path

import pytest
from addresses import s3
from fetching import digest_of, fetched, put_folder, refused
from pico import NUM_BLOCKS, make_pico

from lorp.checkpoint import open_checkpoint
from lorp.errors import SourceError, UnsafeCheckpointError
from tasks.fetch import FetchFolder, fetch_request, source_num_blocks


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_pico(tmp_path_factory.mktemp("sharded"), max_shard_size="100KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


@pytest.mark.parametrize("end", ["", "/"])
def test_a_checkpoint_is_the_same_as_from_a_folder(prefix: str, pico: Path, tmp_path: Path, end: str) -> None:
    put_folder(pico, prefix, **{"pytorch_model.bin": b"pickle", "notes/x.txt": b"no"})
    made = fetch_request(prefix + end, "float32")
    assert isinstance(made, FetchFolder)
    assert made.key == fetch_request(str(pico), "float32").key
    assert fetched(tmp_path / "store", made) == digest_of(pico)
    assert source_num_blocks(prefix) == NUM_BLOCKS
    assert sorted(path.name for path in Path(made.path).iterdir()) == sorted(open_checkpoint(pico).files)


def test_what_changed_there_is_fetched_anew(prefix: str, pico: Path, sharded: Path, home: Path) -> None:
    put_folder(sharded, prefix)
    assert fetch_request(prefix, "float32").key == fetch_request(str(sharded), "float32").key
    for name in ("model.safetensors.index.json", "model-00001-of-00003.safetensors"):
        bucket, _, key = prefix.removeprefix("s3://").partition("/")
        s3().delete_object(Bucket=bucket, Key=f"{key}/{name}")
    put_folder(pico, prefix)
    assert fetch_request(prefix, "float32").key == fetch_request(str(pico), "float32").key


def test_an_incomplete_checkpoint_is_refused(prefix: str, sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "incomplete"))
    sorted(folder.glob("*.safetensors"))[0].unlink()
    put_folder(folder, prefix)
    assert "is missing" in refused(prefix, SourceError)


def test_what_is_not_there_is_said_in_one_line(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "holds no config.json" in refused(prefix, SourceError)
    assert "no bucket not-there" in refused("s3://not-there/model", SourceError)
    assert "whole bucket" in refused("s3://bucket", SourceError)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "SignatureDoesNotMatch" in refused(prefix, SourceError)


def test_pickled_weights_are_not_downloaded(prefix: str, pico_copy: Path, home: Path) -> None:
    (pico_copy / "model.safetensors").rename(pico_copy / "pytorch_model.bin")
    put_folder(pico_copy, prefix)
    assert "pickled" in refused(prefix, UnsafeCheckpointError)
    assert not list(home.rglob("*.bin"))


@pytest.mark.parametrize("name", ["my model", "run=5/model", "a (1)/+x,y;z@2", ".hidden/ü", "what?x#y"])
def test_folders_may_be_named_as_others_like(prefix: str, pico: Path, name: str) -> None:
    put_folder(pico, f"{prefix}/{name}")
    assert fetch_request(f"{prefix}/{name}/", "float32").key == fetch_request(str(pico), "float32").key


@pytest.mark.parametrize(
    "source", ["s3://Bucket/x", "s3://b/x", "s3://bucket/../x", "s3://bucket/a//b", "s3://bucket/a\x7fb"]
)
def test_what_is_no_address_is_refused_as_it_was_given(aws: None, source: str) -> None:
    said = refused(source, SourceError)
    assert said.startswith(f"{source} is no address in S3".replace("\x7f", " "))


def test_a_vast_index_is_not_downloaded(prefix: str, pico: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_folder(pico, prefix, **{"model.safetensors.index.json": b" " * 101})
    monkeypatch.setattr("tasks.sources.bucket.MAX_JSON_BYTES", 100)
    assert "too large: 101 bytes" in refused(prefix, SourceError)
    assert not list(home.rglob("*.index.json"))
