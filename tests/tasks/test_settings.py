"""Settings: environment over `.env` over defaults, and no place for secrets."""

from pathlib import Path

import pytest

from lorp.errors import SpecError
from tasks.settings import Settings, settings
from tasks.workspace import home, workspace

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and nothing set."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "LORP_HOME",
        "LORP_STORE",
        "LORP_DEVICE",
        "LORP_DTYPE",
        "LORP_S3_DEADLINE",
        "LORP_TASK_RUNNER",
        "LORP_DEBUG",
        "MLFLOW_TRACKING_URI",
    ):
        monkeypatch.delenv(name, raising=False)


def test_defaults_need_nothing() -> None:
    assert settings() == Settings()
    assert home() == Path("~/.lorp").expanduser()
    assert workspace().store == str(home() / "store")
    assert workspace().embedded


def test_the_environment_stands_before_a_dotenv_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "LORP_HOME=/a\nLORP_STORE=s3://bucket/x\nMLFLOW_TRACKING_URI=http://host\nAWS_SECRET_ACCESS_KEY=hush\n"
    )
    assert workspace().store == "s3://bucket/x"
    assert workspace().tracking_uri == "http://host"
    monkeypatch.setenv("LORP_HOME", "/b")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert home() == Path("/b")
    assert workspace().tracking_uri == "http://other"
    assert workspace("elsewhere", "http://given").store == "elsewhere"
    assert workspace("elsewhere", "http://given").tracking_uri == "http://given"
    assert "hush" not in repr(settings())


def test_an_empty_value_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORP_HOME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert (settings().home, settings().tracking_uri) == (Path("~/.lorp"), None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LORP_DTYPE", "float8"),
        ("LORP_DEBUG", "perhaps"),
        ("LORP_S3_DEADLINE", "-1"),
        ("LORP_TASK_RUNNER", "processes"),
        ("LORP_TASK_RUNNER", "dask://scheduler"),
        ("LORP_TASK_RUNNER", "dask://me:hush@scheduler:8786"),
        ("LORP_TASK_RUNNER", "ray://head:10001"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SpecError, match=name) as fault:
        settings()
    assert "hush" not in str(fault.value)


def test_a_scheduler_is_named_by_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().dask_scheduler is None
    monkeypatch.setenv("LORP_TASK_RUNNER", "dask://scheduler.example:8786")
    assert settings().dask_scheduler == "tcp://scheduler.example:8786"


def test_a_dotenv_file_that_is_no_text_is_said() -> None:
    Path(".env").write_bytes(b"LORP_HOME=\xff\xfe")
    with pytest.raises(SpecError, match=r"\.env"):
        settings()


@pytest.mark.parametrize(
    "uri",
    [
        "http://alice:hunter2@host",
        "postgresql://alice:hunter2@host/mlflow",
        "postgresql://alice:hunter/hunter2@host/mlflow",
        "postgresql://host/mlflow?user=alice&password=hunter2",
    ],
)
def test_a_tracking_uri_with_a_password_is_refused(uri: str) -> None:
    with pytest.raises(SpecError, match="names a user") as fault:
        workspace(tracking_uri=uri)
    assert "hunter2" not in str(fault.value)


def test_every_setting_is_in_the_docs() -> None:
    table = DOCS.read_text()
    for name, field in Settings.model_fields.items():
        assert f"`{field.validation_alias or 'LORP_' + name.upper()}`" in table
