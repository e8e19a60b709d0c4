"""What the store holds is used only while it is what its digest says."""

import os
from pathlib import Path

import pytest
from addresses import overwrite, remove, spoil
from proxy import Proxy

from lorp.digest import digest_bytes
from lorp.errors import IntegrityError
from tasks.store import FolderStore, open_store
from tasks.vault import Manifest, Reference, Vault


@pytest.fixture(params=["folder", "s3"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    address = str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("prefix")
    return Vault(open_store(address))


def folder(vault: Vault) -> Reference:
    with vault.scratch() as scratch:
        (scratch / "config.json").write_bytes(b"{}")
        (scratch / "model.safetensors").write_bytes(b"weights")
        return vault.put_folder("checkpoints", scratch, ["config.json", "model.safetensors"])


def manifest(**outputs: Reference) -> Manifest:
    return Manifest(
        stage="plan", key="plan-v1-abc", inputs={"x": 1}, outputs=outputs, versions={}, created="now", seconds=1.0
    )


def fresh(vault: Vault) -> Vault:
    """The same store as another process sees it."""
    return Vault(vault.store)


def quarantined(vault: Vault) -> list[str]:
    return [key for key in vault.store.keys("quarantine") if not key.endswith("note.json")]


def test_objects_are_named_by_their_content(vault: Vault) -> None:
    reference = vault.put("values", b"one", ".json")
    assert reference.key == f"values/{digest_bytes(b'one')}.json"
    assert vault.put("values", b"one", ".json") == reference
    assert vault.read(reference) == b"one"


def test_folders_are_named_by_the_digest_over_their_files(vault: Vault) -> None:
    reference = folder(vault)
    assert reference.key == f"checkpoints/{reference.sha256}"
    assert folder(vault) == reference
    assert sorted(path.name for path in vault.folder(reference).iterdir()) == ["config.json", "model.safetensors"]


def test_a_changed_object_goes_to_quarantine_and_is_never_used(vault: Vault) -> None:
    reference = vault.put("values", b"one", ".json")
    spoil(vault.store.address(reference.key))
    with pytest.raises(IntegrityError, match=reference.key):
        fresh(vault).read(reference)
    assert len(quarantined(vault)) == 1
    assert vault.put("values", b"one", ".json") == reference
    assert vault.read(reference) == b"one"


def test_a_changed_object_is_replaced_when_it_is_put_again(vault: Vault) -> None:
    reference = vault.put("values", b"one", ".json")
    spoil(vault.store.address(reference.key))
    fresh(vault).put("values", b"one", ".json")
    assert vault.read(reference) == b"one"
    assert len(quarantined(vault)) == 1


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_changed_file_of_a_folder_is_noticed(vault: Vault, name: str) -> None:
    reference = folder(vault)
    spoil(vault.store.address(f"{reference.key}/{name}"))
    with pytest.raises(IntegrityError, match=name):
        fresh(vault).folder(reference)
    assert fresh(vault).folder(folder(vault))


def test_a_change_after_verification_is_noticed_too(vault: Vault) -> None:
    reference = folder(vault)
    vault.folder(reference)
    spoil(vault.store.address(f"{reference.key}/model.safetensors"))
    with pytest.raises(IntegrityError):
        vault.folder(reference)


@pytest.mark.parametrize("name", ["modeling_evil.py", "config.json~", "a (1).json", ".DS_Store"])
def test_an_added_file_goes_to_quarantine_and_the_rest_is_used(vault: Vault, name: str) -> None:
    reference = folder(vault)
    done = manifest(checkpoint=reference)
    vault.commit(done)
    overwrite(f"{vault.store.address(reference.key)}/{name}", b"import os")
    assert fresh(vault).result(done.key) == done
    assert sorted(path.name for path in vault.folder(reference).iterdir()) == ["config.json", "model.safetensors"]
    assert len(quarantined(vault)) == 1


def test_a_missing_file_is_noticed(vault: Vault) -> None:
    reference = folder(vault)
    remove(vault.store.address(f"{reference.key}/config.json"))
    with pytest.raises(IntegrityError, match=r"config\.json"):
        vault.folder(reference)


def test_a_result_is_there_once_its_manifest_is(vault: Vault) -> None:
    done = manifest(plan=vault.put("values", b"one", ".json"), variant=folder(vault))
    assert vault.result(done.key) is None
    vault.commit(done)
    assert fresh(vault).result(done.key) == done


def test_a_result_whose_output_changed_is_gone_and_can_be_made_again(vault: Vault) -> None:
    done = manifest(plan=vault.put("values", b"one", ".json"))
    vault.commit(done)
    spoil(vault.store.address(done.outputs["plan"].key))
    assert fresh(vault).result(done.key) is None
    again = manifest(plan=vault.put("values", b"one", ".json"))
    vault.commit(again)
    assert fresh(vault).result(done.key) == again


def test_the_first_of_two_racers_stands(vault: Vault) -> None:
    first, second = (manifest(plan=vault.put("values", data, ".json")) for data in (b"one", b"two"))
    assert vault.commit(first) == first
    assert fresh(vault).commit(second) == first


def test_every_changed_byte_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    vault = Vault(FolderStore(tmp_path / "store"))
    done = manifest(plan=vault.put("values", b"one", ".json"))
    vault.commit(done)
    path = vault.store.local(f"stages/{done.key}.json")
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in (1, 32):
            path.write_bytes(data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :])
            assert fresh(vault).result(done.key) is None, f"byte {position}"
            assert not path.exists()
    path.write_bytes(data + b" ")
    assert fresh(vault).result(done.key) is None
    path.write_bytes(data)
    assert fresh(vault).result(done.key) == done


def test_a_manifest_under_another_stages_key_is_noticed(vault: Vault) -> None:
    done = manifest(plan=vault.put("values", b"one", ".json"))
    vault.commit(done)
    vault.store.create("stages/plan-v1-def.json", vault.store.read(f"stages/{done.key}.json"))
    assert vault.result("plan-v1-def") is None


def test_a_spoilt_local_copy_is_no_reason_to_move_what_the_bucket_holds(prefix: str) -> None:
    vault = Vault(open_store(prefix))
    done = manifest(plan=vault.put("values", b"one", ".json"), variant=folder(vault))
    vault.commit(done)
    vault.result(done.key)
    for reference in done.outputs.values():
        for key, _ in reference.objects():
            vault.store.local(key).write_bytes(b"two")
    assert fresh(vault).result(done.key) == done
    assert vault.folder(done.outputs["variant"]).joinpath("model.safetensors").read_bytes() == b"weights"
    assert quarantined(vault) == []


def test_an_intact_folder_in_a_bucket_takes_two_calls(prefix: str, proxy: Proxy) -> None:
    vault = Vault(open_store(prefix))
    reference = folder(vault)
    vault.folder(reference)
    proxy.seen.clear()
    vault.folder(reference)
    assert len(proxy.seen) == 2


@pytest.mark.parametrize("kind", ["dangling link", "link", "folder", "pipe"])
@pytest.mark.parametrize("what", ["output", "manifest", "file"])
def test_what_is_no_regular_file_goes_to_quarantine_and_is_made_again(tmp_path: Path, kind: str, what: str) -> None:
    vault = Vault(FolderStore(tmp_path / "store"))
    done = manifest(plan=vault.put("values", b"one", ".json"), variant=folder(vault))
    vault.commit(done)
    variant = done.outputs["variant"].key
    key = {
        "output": done.outputs["plan"].key,
        "manifest": f"stages/{done.key}.json",
        "file": f"{variant}/model.safetensors",
    }
    put_irregular(tmp_path / "store" / key[what], kind)
    assert fresh(vault).result(done.key) is None
    again = manifest(plan=fresh(vault).put("values", b"one", ".json"), variant=folder(vault))
    assert fresh(vault).commit(again) == again
    assert fresh(vault).result(done.key) == again


def put_irregular(path: Path, kind: str) -> None:
    """Puts in a file's place what is none."""
    beside = path.with_name(f".{path.name}")
    match kind:
        case "folder":
            path.unlink()
            path.mkdir()
        case "pipe":
            path.unlink()
            os.mkfifo(path)
        case _:
            path.replace(beside)
            path.symlink_to(beside)
            if kind == "dangling link":
                beside.unlink()


def test_what_stays_in_the_way_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Vault(FolderStore(tmp_path / "store"))
    monkeypatch.setattr(vault.store, "create", lambda _key, _source: False)
    with pytest.raises(IntegrityError, match="neither free nor readable"):
        vault.put("values", b"one", ".json")
    with pytest.raises(IntegrityError, match="neither free nor readable"):
        vault.commit(manifest())


def test_two_runs_may_find_the_same_damage(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    done = manifest(plan=vault.put("values", b"one", ".json"))
    vault.commit(done)
    spoil(vault.store.address(done.outputs["plan"].key))
    found = vault.store.digest

    def other_first(key: str) -> str:
        sha256 = found(key)
        monkeypatch.setattr(vault.store, "digest", found)
        assert fresh(vault).result(done.key) is None
        assert fresh(vault).put("values", b"one", ".json") == done.outputs["plan"]
        return sha256

    monkeypatch.setattr(vault.store, "digest", other_first)
    assert fresh(vault).result(done.key) is None
    assert vault.read(done.outputs["plan"]) == b"one"
