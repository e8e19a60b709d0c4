"""What is seen at each kind of watched source, and what changes what is seen."""

from pathlib import Path
from uuid import uuid4

import pytest
from addresses import overwrite, remove
from fetching import digest_of, put_folder
from mlflow import MlflowClient
from model_hub import ModelHub
from pico import make_pico

from lorp.errors import IntegrityError, SourceError, SpaceError
from tasks.fetch import fetch_request
from tasks.sources.arrivals import sightings
from tasks.store import FolderStore
from tasks.vault import Vault
from tasks.watch import arrived, is_settled


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pico(tmp_path_factory.mktemp("sharded"), max_shard_size="100KB")


def test_checkpoints_below_a_prefix_of_a_bucket(prefix: str, pico: Path, sharded: Path) -> None:
    put_folder(pico, f"{prefix}/one of them")
    put_folder(sharded, f"{prefix}/deeper/two")
    put_folder(sharded, f"{prefix}/three")
    last = sorted(sharded.glob("*.safetensors"))[-1].name
    remove(f"{prefix}/three/{last}")
    overwrite(f"{prefix}/notes.txt", b"not in any folder")
    found = {entry.address.removeprefix(f"{prefix}/"): entry for entry in sightings(prefix)}
    assert {name: entry.missing for name, entry in found.items()} == {
        "one of them": None,
        "deeper/two": None,
        "three": f"{last} is not there yet",
    }
    for name in ("one of them", "deeper/two"):
        assert sightings(f"{prefix}/{name}/") == [found[name]]
    assert fetch_request(found["deeper/two"].address, "float32").key == fetch_request(str(sharded), "float32").key
    overwrite(f"{prefix}/one of them/README.md", b"new")
    assert sightings(f"{prefix}/one of them") != [found["one of them"]]


def test_a_folder_that_is_one_checkpoint_and_one_with_gguf_files(pico: Path, tmp_path: Path) -> None:
    [seen] = sightings(str(pico))
    assert (seen.address, seen.missing) == (str(pico), None)
    (tmp_path / "model.gguf").write_bytes(b"GGUF and so on")
    (tmp_path / "notes.txt").write_text("no")
    [file] = sightings(str(tmp_path))
    assert file.address == str(tmp_path / "model.gguf")
    assert sightings(file.address) == [file]
    (tmp_path / "model.gguf").write_bytes(b"GGUF and so on and on")
    assert sightings(file.address) != [file]


def test_an_index_that_is_only_half_there_is_no_checkpoint_yet(sharded: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((sharded / "config.json").read_bytes())
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a":')
    [seen] = sightings(str(tmp_path))
    assert seen.missing
    assert "model.safetensors.index.json" in seen.missing


def test_a_revision_on_the_hub_is_seen_at_its_commit(model_hub: ModelHub, pico: Path, home: Path) -> None:
    name = f"org/pico-{uuid4().hex}"
    repo = model_hub.add(name)
    first = repo.commit(pico, "main")
    [seen] = sightings(f"hf://{name}")
    assert (seen.address, seen.missing) == (f"hf://{name}@{first}", None)
    assert sightings(seen.address) == [seen]


def test_an_alias_is_seen_at_its_version(pico: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    client.create_registered_model("pico")
    for number in ("1", "2"):
        client.create_model_version("pico", source=str(pico))
        client.set_registered_model_alias("pico", "incoming", number)
        [seen] = sightings("mlflow:models:/pico@incoming", uri)
        assert seen.address == f"mlflow:models:/pico/{number}"
        assert sightings(seen.address, uri) == [seen]


def test_a_source_that_is_not_there_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(SourceError, match="there is no"):
        sightings(str(tmp_path / "nothing"))
    assert sightings(prefix) == []


@pytest.mark.parametrize(
    ("cause", "remembered"), [(PermissionError(13, "no"), False), (OSError("a library's"), True), (None, True)]
)
def test_what_the_machine_refuses_is_not_remembered(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: OSError | None, remembered: bool
) -> None:
    def refuse(*_: object) -> None:
        try:
            if cause:
                raise cause
        finally:
            raise SourceError("it cannot be read", "Look at it")

    vault, [seen] = Vault(FolderStore(tmp_path / "store")), sightings(str(pico))
    with monkeypatch.context() as refusing:
        refusing.setattr("tasks.watch.run_stage", refuse)
        with pytest.raises(SourceError, match="cannot be read"):
            arrived(vault, seen, "float32", "sqlite://")
    if remembered:
        with pytest.raises(SourceError, match="cannot be read"):
            arrived(vault, seen, "float32", "sqlite://")
    else:
        assert arrived(vault, seen, "float32", "sqlite://") == digest_of(pico)


def test_a_damaged_note_is_said(pico: Path, tmp_path: Path) -> None:
    vault, [seen] = Vault(FolderStore(tmp_path / "store")), sightings(str(pico))
    for note, act in (
        ("seen", lambda: is_settled(vault, seen, 0)),
        ("float32", lambda: arrived(vault, seen, "float32", "sqlite://")),
    ):
        vault.store.create(f"watch/{seen.listing}/{note}.json", b"{")
        with pytest.raises(IntegrityError, match=f"{note}.json in the store is damaged"):
            act()


def test_a_full_disk_is_not_remembered_as_a_fault_of_the_checkpoint(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, [seen] = Vault(FolderStore(tmp_path / "store")), sightings(str(pico))
    with monkeypatch.context() as full:
        full.setattr("lorp.disk._MARGIN_BYTES", 1 << 60)
        with pytest.raises(SpaceError):
            arrived(vault, seen, "float32", "sqlite://")
    assert arrived(vault, seen, "float32", "sqlite://") == digest_of(pico)
