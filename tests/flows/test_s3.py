"""The main job with its store in a bucket: shared between homes, checked as in a folder."""

import json
from pathlib import Path

import pytest
from addresses import s3, spoil
from mlflow import MlflowClient
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_DEFAULT_RESULT_STORAGE_BLOCK, temporary_settings
from prefect_aws import AwsCredentials, S3Bucket
from support import Lorp

from tasks.cache import stage
from tasks.vault import open_vault

LOOSE = "--max-perplexity-ratio=100"


def forward(*_: object, **__: object) -> None:
    """Stands in for the model where none may run."""
    raise AssertionError("a forward pass")


def test_two_homes_with_one_bucket_reuse_each_other_s_stages(
    recompress: Lorp, prefix: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recompress(LOOSE, f"--store={prefix}")
    assert first.status == 0, first.err
    manifests = open_vault(prefix).store.keys("stages")

    open_vault.cache_clear()
    monkeypatch.setenv("LORP_HOME", f"{home}-other")
    monkeypatch.setattr("tasks.cache.stage", stage.with_options(cache_policy=NO_CACHE))
    monkeypatch.setattr("transformers.LlamaModel.forward", forward)
    second = recompress(LOOSE, f"--store={prefix}")
    assert second.status == 0, second.err
    for part in ("checkpoint", "similarity", "plan", "perplexity", "variant", "verdict"):
        assert first.json[part] == second.json[part]
    made = set(open_vault(prefix).store.keys("stages")) - set(manifests)
    assert [Path(key).name.split("-")[0] for key in made] == ["register"]
    for done, place in ((first, home), (second, Path(f"{home}-other"))):
        assert Path(done.json["report"]).is_relative_to(place)
        assert "<html" in Path(done.json["report"]).read_text()
        [version] = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}").search_model_versions("name = 'pico'")
        assert version.source == done.json["variant"]["uri"]
        assert version.source.startswith(f"{prefix}/variants/")


def test_what_changed_in_the_bucket_is_found_and_made_again(recompress: Lorp, prefix: str) -> None:
    first = recompress(LOOSE, f"--store={prefix}").json
    store = open_vault(prefix).store
    spoilt = [store.address(key) for folder in ("variants", "values") for key in store.keys(folder)]
    for address in spoilt:
        spoil(address)
    again = recompress(LOOSE, f"--store={prefix}")
    assert again.status == 0, again.err
    assert again.json["verdict"] == first["verdict"]
    assert again.json["variant"] == first["variant"]
    assert [key for key in store.keys("quarantine") if key.endswith("model.safetensors")]


def test_prefects_results_lie_in_the_bucket_that_its_block_names(
    recompress: Lorp, shared_bucket: str, prefix: str
) -> None:
    folder = prefix.removeprefix(f"s3://{shared_bucket}/") + "-results"
    # Without keys of its own the block goes by the AWS settings, as the store does.
    S3Bucket(bucket_name=shared_bucket, bucket_folder=folder, credentials=AwsCredentials()).save("lorp-results")
    with temporary_settings({PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: "s3-bucket/lorp-results"}):
        done = recompress(LOOSE, f"--store={prefix}")
    assert done.status == 0, done.err
    results = s3().list_objects_v2(Bucket=shared_bucket, Prefix=f"{folder}/")["Contents"]
    stages = {Path(key).stem for key in open_vault(prefix).store.keys("stages")}
    for stage_key in stages - {key for key in stages if key.startswith("register-")}:
        [entry] = [entry for entry in results if entry["Key"] == f"{folder}/{stage_key}"]
        record = s3().get_object(Bucket=shared_bucket, Key=entry["Key"])["Body"].read()
        assert json.loads(record)["metadata"]["serializer"]["type"] == "json"


@pytest.mark.usefixtures("aws")
def test_a_missing_bucket_is_said_before_anything_is_started(recompress: Lorp, home: Path) -> None:
    done = recompress(LOOSE, "--store=s3://not-there/prefix")
    assert done.status == 2
    assert "there is no bucket not-there" in done.err
    assert len(done.err.splitlines()) == 1
    assert not [path for path in home.rglob("*") if path.is_file()]
