"""`hf://org/name@revision`, against a stand-in of the hub's file protocol (`tests/model_hub.py`)."""

import errno
import json
from pathlib import Path
from uuid import uuid4

import pytest
from fetching import digest_of, fetched, refused
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from model_hub import ModelHub
from pico import NUM_BLOCKS, edit_json, make_pico
from servers import free_port, silent

from lorp.checkpoint import open_checkpoint
from lorp.errors import OutageError, SourceError, StoreError, UnsafeCheckpointError
from tasks.fetch import fetch_request, source_num_blocks
from tasks.store import FolderStore
from tasks.vault import Vault


@pytest.fixture(autouse=True)
def own_home(home: Path) -> None:
    """Listings of what was fetched are kept under home."""


@pytest.fixture
def repo() -> str:
    """A name that no other test has in the hub's cache."""
    return f"org/pico-{uuid4().hex}"


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_pico(tmp_path_factory.mktemp("sharded"), max_shard_size="100KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


@pytest.mark.parametrize("kind", ["pico", "sharded"])
def test_a_model_is_fetched_at_the_commit_of_its_revision(
    model_hub: ModelHub, tmp_path: Path, repo: str, kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    commit = model_hub.add(repo).commit(folder, "v1.0")
    made = fetch_request(f"hf://{repo}@v1.0", "float32")
    assert made.inputs() == {"kind": "hub", "repo": repo, "commit": commit}
    assert fetched(tmp_path, made) == digest_of(folder)
    assert source_num_blocks(f"hf://{repo}@v1.0") == NUM_BLOCKS


def test_only_the_checkpoint_s_files_are_downloaded(model_hub: ModelHub, tmp_path: Path, repo: str, pico: Path) -> None:
    more = {"pytorch_model.bin": b"pickle", "modeling.py": b"import os", "consolidated.safetensors": b"twice"}
    model_hub.add(repo).commit(pico, **more)
    assert fetched(tmp_path, fetch_request(f"hf://{repo}", "float32")) == digest_of(pico)
    assert model_hub.downloaded() == sorted(open_checkpoint(pico).files)


def test_a_commit_that_was_fetched_before_is_not_asked_for_again(
    model_hub: ModelHub, tmp_path: Path, repo: str, pico: Path
) -> None:
    commit = model_hub.add(repo).commit(pico)
    first = fetched(tmp_path, fetch_request(f"hf://{repo}@main", "float32"))
    model_hub.seen.clear()
    assert fetched(tmp_path, fetch_request(f"hf://{repo}@{commit}", "float32")) == first
    assert model_hub.seen == []
    assert fetched(tmp_path, fetch_request(f"hf://{repo}@main", "float32")) == first
    assert model_hub.seen == [f"GET /api/models/{repo}/revision/main", f"HEAD /{repo}/resolve/main/config.json"]


def test_depth_is_known_from_the_config_alone(model_hub: ModelHub, repo: str, pico: Path) -> None:
    model_hub.add(repo).commit(pico)
    assert source_num_blocks(f"hf://{repo}") == NUM_BLOCKS
    assert model_hub.downloaded() == ["config.json"]


def test_a_branch_that_moved_is_another_commit(
    model_hub: ModelHub, tmp_path: Path, repo: str, pico: Path, sharded: Path
) -> None:
    model = model_hub.add(repo)
    model.commit(pico)
    before = fetch_request(f"hf://{repo}", "float32")
    model.commit(sharded)
    after = fetch_request(f"hf://{repo}", "float32")
    assert before.key != after.key
    assert fetched(tmp_path, before) == digest_of(pico)
    assert fetched(tmp_path, after) == digest_of(sharded)


def test_offline_the_cache_has_to_have_it(
    model_hub: ModelHub, tmp_path: Path, repo: str, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.add(repo).commit(pico)
    fetched(tmp_path, fetch_request(f"hf://{repo}", "float32"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model_hub.seen.clear()
    again = fetch_request(f"hf://{repo}@main", "float32")
    assert fetched(tmp_path / "other", again) == digest_of(pico)
    assert source_num_blocks(f"hf://{repo}") == NUM_BLOCKS
    assert model_hub.seen == []
    assert "HF_HUB_OFFLINE" in refused(f"hf://{repo}-other", SourceError)


def test_offline_what_may_be_a_part_of_a_commit_is_known_by_its_content(
    model_hub: ModelHub, tmp_path: Path, repo: str, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = model_hub.add(repo).commit(pico)
    for name in ("config.json", "model.safetensors"):
        hf_hub_download(repo, name, endpoint=model_hub.url)
    online = fetch_request(f"hf://{repo}", "float32")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    offline = fetch_request(f"hf://{repo}", "float32")
    assert offline.inputs()["kind"] == "safetensors"
    assert fetched(tmp_path / "offline", offline) == offline.inputs()["sha256"] != digest_of(pico)
    assert source_num_blocks(f"hf://{repo}") == NUM_BLOCKS
    with pytest.raises(SourceError, match="not wholly in the hub's cache"):
        fetched(tmp_path / "offline", online)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert fetched(tmp_path / "online", online) == digest_of(pico)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch_request(f"hf://{repo}@{commit}", "float32") == online
    cached = Path(str(try_to_load_from_cache(repo, "tokenizer.json", revision=commit)))
    cached.unlink()
    assert fetch_request(f"hf://{repo}", "float32").key not in (online.key, offline.key)


def test_other_files_in_the_cache_change_nothing(
    model_hub: ModelHub, tmp_path: Path, repo: str, pico: Path, sharded: Path
) -> None:
    model_hub.add(repo).commit(sharded, **{"model.safetensors": (pico / "model.safetensors").read_bytes()})
    hf_hub_download(repo, "model.safetensors", endpoint=model_hub.url)
    assert fetched(tmp_path, fetch_request(f"hf://{repo}", "float32")) == digest_of(sharded)


def test_the_depth_of_a_commit_in_the_store_is_known_without_the_hub(
    model_hub: ModelHub, tmp_path: Path, repo: str, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = model_hub.add(repo).commit(pico)
    fetched(tmp_path / "store", fetch_request(f"hf://{repo}", "float32"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    vault = Vault(FolderStore(tmp_path / "store"))
    assert source_num_blocks(f"hf://{repo}@{commit}", vault=vault) == NUM_BLOCKS


def test_what_this_machine_cannot_keep_is_no_outage(
    model_hub: ModelHub, repo: str, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    model_hub.add(repo).commit(pico)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    assert "No space left" in refused(f"hf://{repo}", StoreError)


def test_what_is_not_there_is_said_in_one_line(model_hub: ModelHub, repo: str, pico: Path) -> None:
    model_hub.add(repo).commit(pico)
    assert "there is no hf://org/none@main, or it is private" in refused("hf://org/none", SourceError)
    assert "no such revision" in refused(f"hf://{repo}@v9", SourceError)
    for refusal, word in (((401, "RepoNotFound"), "private"), ((403, "GatedRepo"), "gated")):
        model_hub.models[repo].refusal = refusal
        assert word in refused(f"hf://{repo}", SourceError)


def test_a_hub_that_does_not_answer_is_an_outage(
    model_hub: ModelHub, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.add(repo).refusal = (500, "")
    assert "does not serve" in refused(f"hf://{repo}", OutageError)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    assert "HF_ENDPOINT" in refused(f"hf://{repo}", OutageError)


def test_a_hub_that_never_says_a_word_is_an_outage(
    model_hub: ModelHub, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    with silent() as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        assert "HF_ENDPOINT" in refused(f"hf://{repo}", OutageError)


def test_pickled_weights_and_names_that_lead_elsewhere_are_not_downloaded(
    model_hub: ModelHub, tmp_path: Path, repo: str, pico_copy: Path
) -> None:
    (pico_copy / "model.safetensors").unlink()
    index = json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}).encode()
    for more in ({"pytorch_model.bin": b"pickle"}, {"model.safetensors.index.json": index}):
        model_hub.add(repo).commit(pico_copy, **more)
        with pytest.raises(UnsafeCheckpointError):
            fetched(tmp_path, fetch_request(f"hf://{repo}", "float32"))
    assert {"pytorch_model.bin", "elsewhere.safetensors"}.isdisjoint(model_hub.downloaded())


def test_code_of_its_own_is_refused(model_hub: ModelHub, tmp_path: Path, repo: str, pico_copy: Path) -> None:
    edit_json(pico_copy / "config.json", auto_map={"AutoModel": "modeling.Evil"})
    model_hub.add(repo).commit(pico_copy)
    with pytest.raises(UnsafeCheckpointError, match="auto_map"):
        fetched(tmp_path, fetch_request(f"hf://{repo}", "float32"))


@pytest.mark.parametrize(
    "source", ["hf://", "hf://a/b/c", "hf://a/../b", "hf://a/b@", "hf://a/b@../x", "hf://a b", "hf://a/b--c"]
)
def test_what_is_no_address_is_refused(model_hub: ModelHub, source: str) -> None:
    assert "is no address on the hub" in refused(source, SourceError)


def test_what_is_no_path_is_answered_with_the_addresses_there_are() -> None:
    said = refused("org/none", SourceError)
    assert "Give hf://org/none for the model on the hub" in said
    assert "hf://none" not in refused("none", SourceError)
    for kind in ("hf://org/name", "s3://bucket/prefix", "mlflow:models:/name@alias"):
        assert kind in refused("/none/at/all", SourceError)
