"""`mlflow:models:/name@alias` and `mlflow:models:/name/version`, against a real registry."""

from pathlib import Path

import pytest
from addresses import spoil
from fetching import put_folder, refused
from mlflow import MlflowClient
from pico import NUM_BLOCKS, edit_json

from lorp.digest import digest_listing, list_files
from lorp.errors import IntegrityError, RegistryError, SourceError
from tasks.fetch import fetch_request, source_num_blocks


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}")
    client.create_registered_model("pico")
    return client


def register(client: MlflowClient, source: str, **tags: str) -> str:
    version = client.create_model_version("pico", source=source, tags=tags)
    client.set_registered_model_alias("pico", "candidate", version.version)
    return str(version.version)


@pytest.mark.parametrize("form", ["{path}", "file://{path}", "lorp-file://{path}"])
def test_a_version_in_a_folder(client: MlflowClient, pico: Path, form: str) -> None:
    variant = digest_listing(list_files(pico, [path.name for path in pico.iterdir()]))
    number = register(client, form.format(path=pico), **{"lorp.variant": variant})
    for address in ("mlflow:models:/pico@candidate", f"mlflow:models:/pico/{number}"):
        made = fetch_request(address, "float32", client.tracking_uri)
        assert made.key == fetch_request(str(pico), "float32").key
        assert source_num_blocks(address, client.tracking_uri) == NUM_BLOCKS


def test_a_version_in_a_bucket_is_checked_against_its_digest(
    client: MlflowClient, pico_copy: Path, prefix: str
) -> None:
    (pico_copy / "pruning_plan.json").write_bytes(b"{}")
    put_folder(pico_copy, prefix)
    register(client, prefix)
    made = fetch_request("mlflow:models:/pico@candidate", "float32", client.tracking_uri)
    assert made.key == fetch_request(str(pico_copy), "float32").key
    names = [path.name for path in pico_copy.iterdir()]
    register(client, prefix, **{"lorp.variant": digest_listing(list_files(pico_copy, names))})
    assert fetch_request("mlflow:models:/pico@candidate", "float32", client.tracking_uri).key == made.key
    spoil(f"{prefix}/pruning_plan.json")
    message = refused("mlflow:models:/pico@candidate", IntegrityError, client.tracking_uri)
    assert "not those that were registered" in message


def test_a_changed_file_is_noticed(client: MlflowClient, pico_copy: Path) -> None:
    variant = digest_listing(list_files(pico_copy, [path.name for path in pico_copy.iterdir()]))
    register(client, str(pico_copy), **{"lorp.variant": variant})
    edit_json(pico_copy / "config.json", rope_theta=1.0)
    refused("mlflow:models:/pico@candidate", IntegrityError, client.tracking_uri)


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("mlflow:models:/pico@none", "has no"),
        ("mlflow:models:/pico/999", "has no"),
        ("mlflow:models:/none@candidate", "has no"),
        ("mlflow:models:/pico", "no address in the registry"),
        ("mlflow:runs:/abc/model", "no address in the registry"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(client: MlflowClient, address: str, word: str) -> None:
    assert word in refused(address, SourceError, client.tracking_uri)


@pytest.mark.parametrize("source", ["/nowhere/at-all", "file://host/tmp", "runs:/abc/model", "gs://bucket/model"])
def test_a_version_that_lies_elsewhere_is_refused(client: MlflowClient, source: str) -> None:
    register(client, source)
    assert source in refused("mlflow:models:/pico@candidate", SourceError, client.tracking_uri)


def test_a_registry_that_is_not_there_is_a_fault() -> None:
    refused("mlflow:models:/pico@candidate", RegistryError, "sqlite:////dev/null/mlflow.db")
