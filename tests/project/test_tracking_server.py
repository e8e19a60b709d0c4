"""The registry over HTTP: a real MLflow server holds run, version and report, and is used again."""

import os
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from servers import background, free_port, wait_for
from support import Lorp

BIN = Path(sys.executable).parent


def test_an_approved_variant_is_registered_once_on_a_server(recompress: Lorp, tmp_path: Path) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    start = (
        BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", 1,
        "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", tmp_path / "artifacts",
    )  # fmt: skip
    with background(*start, environment={**os.environ}, log=tmp_path / "log", cwd=tmp_path):
        wait_for(f"{uri}/health")
        first, again = (recompress("--max-perplexity-ratio=100", f"--tracking-uri={uri}") for _ in range(2))
        assert (first.status, again.status) == (0, 0), first.err + again.err
        client = MlflowClient(tracking_uri=uri)
        [version] = client.search_model_versions("name = 'pico'")
        assert version.source == f"lorp-{first.json['variant']['uri']}"
        assert client.get_model_version_by_alias("pico", "candidate").version == version.version
        [report] = client.list_artifacts(first.json["mlflow_run"], "report")
        assert Path(report.path).name == Path(first.json["report"]).name
        assert first.json["mlflow_run"] == again.json["mlflow_run"]


@pytest.mark.usefixtures("prefect_server")
def test_a_server_that_is_not_there_is_said_in_one_line(recompress: Lorp, home: Path) -> None:
    done = recompress("--max-perplexity-ratio=100", f"--tracking-uri=http://127.0.0.1:{free_port()}")
    assert done.status == 1
    assert "--tracking-uri" in done.err
    assert "Traceback" not in done.err
    assert not [path for path in home.rglob("*") if path.is_file()]
