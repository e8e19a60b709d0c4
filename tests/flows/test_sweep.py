"""A sweep: each cell as the job by itself would come to, shared work done once, and a cell that cannot be said so."""

import json
import re
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from support import Lorp, manifests

from flows.measured import Measured, measure
from flows.stages import Stages
from flows.sweep import SweepSpec
from lorp.errors import OutageError

DOC = Path(__file__).parents[2] / "docs" / "clusters.md"
LOOSE = "--max-perplexity-ratio=100"
ASKED = (
    "--calibration-windows=16", "--evaluation-windows=40", "--window-tokens=32", "--limit=30",
    "--generation-prompts=0", "--speed-rounds=0",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("prefect_server")


def stages(home: Path) -> Counter[str]:
    """How often each stage was done."""
    return Counter(manifest.stage for manifest in manifests(home).values())


def test_every_cell_comes_to_the_verdict_of_the_job_by_itself(lorp: Lorp, pico: Path, home: Path) -> None:
    [command] = re.findall(r"^lorp (sweep ./my-model .*--json)$", DOC.read_text(), flags=re.MULTILINE)
    done = lorp(*command.replace("./my-model", str(pico)).split(), LOOSE, *ASKED)
    assert done.status == 0, done.err
    cells = done.json["cells"]
    asked = [(cell["remove"], cell["method"], cell["healing"]) for cell in cells]
    assert asked == [(n, "shortgpt", h) for n in (1, 2) for h in ("none", "magnitude")]
    assert {cell["approved"] for cell in cells} == {True}
    assert all(len(cell["removed"]) == cell["remove"] for cell in cells)
    assert all(0 <= cell["accuracy"] <= 1 for cell in cells)
    assert all(cell["perplexity_ratio"] < cell["upper_bound"] for cell in cells)
    made = stages(home)
    variants = {
        manifest.outputs["variant"].sha256 for manifest in manifests(home).values() if manifest.stage == "prune"
    }
    assert (made["fetch"], made["capture"], made["score"], made["register"]) == (1, 2, 1, 0)
    assert made["evaluate"] == made["answers"] == 1 + len(variants)

    alone = lorp("recompress", pico, "--remove=2", "--method=shortgpt", "--heal=none", LOOSE, *ASKED, "--json").json
    [cell] = [cell for cell in cells if (cell["remove"], cell["method"], cell["healing"]) == (2, "shortgpt", "none")]
    assert cell["removed"] == alone["plan"]["removed"]
    assert cell["upper_bound"] == alone["perplexity"]["upper_bound"]
    assert stages(home) - made == Counter(register=1)


def test_a_cell_that_cannot_be_says_why_and_the_others_go_on(
    lorp: Lorp, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("sweep", pico, "--remove=5,1", "--method=lorp", "--heal=none", "--max-perplexity-ratio=0.5", *ASKED)
    done = lorp(*options, "--json")
    assert done.status == 1
    hopeless, rejected = done.json["cells"]
    assert hopeless["approved"] is None
    assert "5 of 6 blocks cannot be removed" in hopeless["reason"]
    assert rejected["approved"] is False
    assert "over the budget of 0.5" in rejected["reason"]
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(done.json["run"]))
        asked = {"flow_runs": {"id": {"any_": [done.json["run"]]}}, "artifacts": {"key": {"any_": ["sweep"]}}}
        [artifact] = client.request("POST", "/artifacts/filter", json=asked).json()
    assert (run.state.type.value, run.state.name) == ("COMPLETED", "Incomplete")
    assert [row["verdict"] for row in json.loads(artifact["data"])] == ["-", "REJECTED"]

    monkeypatch.setenv("COLUMNS", "50")
    shown = lorp(*options)
    assert shown.status == 1
    assert "REJECTED" in shown.out
    assert "…" not in shown.out
    assert "5 lorp none: 5 of 6 blocks cannot be removed" in shown.out


def test_all_cells_are_of_the_checkpoint_that_was_there_first(
    lorp: Lorp, pico_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_changed(stages: Stages) -> Measured:
        found = measure(stages)
        settings = pico_copy / "tokenizer_config.json"
        settings.write_text(f"{settings.read_text()}\n")
        return found

    monkeypatch.setattr("flows.sweep.measure", then_changed)
    done = lorp("sweep", pico_copy, "--remove=1,2", "--method=shortgpt", "--heal=none", LOOSE, *ASKED, "--json")
    assert done.status == 1
    first, second = done.json["cells"]
    assert first["approved"] is True
    assert "has changed since it was seen" in second["reason"]


@pytest.mark.parametrize("fault", [OutageError("S3 does not answer", "Look at it"), ValueError("!")])
def test_an_outage_ends_it_and_any_other_fault_is_its_cells(
    lorp: Lorp, pico: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def broken(stages: Stages) -> Measured:
        if stages.spec.pruning.remove == 2:
            raise fault
        return measure(stages)

    monkeypatch.setattr("flows.sweep.measure", broken)
    done = lorp("sweep", pico, "--remove=1,2", "--method=shortgpt", "--heal=none", LOOSE, *ASKED, "--json")
    assert done.status == 1
    if isinstance(fault, OutageError):
        assert (done.out, "S3 does not answer" in done.err) == ("", True)
    else:
        assert [cell["approved"] for cell in done.json["cells"]] == [True, None]
        assert done.json["cells"][1]["reason"] == "ValueError: !"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--remove=auto", "lorp recompress finds the deepest"),
        ("--remove=one", "is no number"),
        ("--method=best", "method.0"),
        ("--heal=pray", "healing.0"),
    ],
)
def test_what_is_no_sweep_is_refused(lorp: Lorp, pico: Path, home: Path, option: str, words: str) -> None:
    done = lorp("sweep", pico, *({"--remove": "--remove=1"} | {option.partition("=")[0]: option}).values())
    assert done.status == 2
    assert words in done.err
    assert not (home / "store").exists()


def test_cells_that_remove_the_same_blocks_and_heal_alike_come_to_the_same(lorp: Lorp, pico: Path) -> None:
    options = ("--remove=4", "--method=shortgpt,greedy", "--heal=linear", LOOSE, *ASKED, "--tasks=none")
    one, other = lorp("sweep", pico, *options, "--json").json["cells"]
    assert one["removed"] == other["removed"] == [1, 2, 3, 4]
    assert (one["perplexity_ratio"], one["upper_bound"]) == (other["perplexity_ratio"], other["upper_bound"])


def test_all_cells_cluster_search_and_heal_as_is_asked(lorp: Lorp, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SweepSpec] = []
    monkeypatch.setattr("flows.sweeping.sweep_source", lambda spec, *_: asked.append(spec))
    options = (
        "--clustering=agglomerative", "--criterion=residual-variance", "--clusters=3", "--search-windows=9",
        "--heal-windows=7", "--confidence=0.9",
    )  # fmt: skip
    lorp("sweep", "x", "--remove=1", "--method=lorp,greedy", "--heal=linear", *options)
    cells = list(asked[0].cells())
    assert [cell.pruning.method for cell in cells] == [("lorp",), ("greedy",)]
    for cell in cells:
        assert (cell.pruning.clustering, cell.pruning.criterion) == ("agglomerative", "residual-variance")
        assert (cell.pruning.num_clusters, cell.search.num_score_windows) == (3, 9)
        assert (cell.healing.method, cell.healing.num_windows, cell.gate.confidence) == ("linear", 7, 0.9)
