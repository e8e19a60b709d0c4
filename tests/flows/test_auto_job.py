"""The job as a person starts it who has a budget and nothing else: how deep, which blocks, how healed."""

import json
from pathlib import Path

import pytest
from pico import make_pico
from support import PICO_OPTIONS, Lorp, Result, manifests, window_ids
from test_recompress import redone

from tasks.store import FolderStore
from tasks.vault import Vault

AUTO = (
    "--remove=auto", "--method=auto", "--heal=auto", "--heal-windows=16", "--search-windows=8", "--search-swaps=4",
    "--json",
)  # fmt: skip


@pytest.fixture
def gentle(tmp_path: Path) -> Path:
    """Blocks that change the state a little, as those of a trained model do."""
    return make_pico(tmp_path / "gentle", initializer_range=0.08)


@pytest.fixture
def auto(lorp: Lorp, gentle: Path, prefect_server: None) -> Lorp:
    def call(*arguments: object) -> Result:
        return lorp("recompress", gentle, *PICO_OPTIONS, *AUTO, *arguments)

    return call


def test_the_deepest_plan_within_the_budget_goes_to_the_gate(auto: Lorp, home: Path) -> None:
    done = auto("--max-perplexity-ratio=1.05")
    assert done.status == 0
    outcome = done.json
    frontier = outcome["frontier"]
    inside = [point["count"] for point in frontier["points"] if point["standing"]["side"] == "inside"]
    assert frontier["chosen"] == max(inside) == len(outcome["plan"]["removed"])
    [chosen] = [point for point in frontier["points"] if point["count"] == frontier["chosen"]]
    assert chosen["removed"] == outcome["plan"]["removed"]
    assert chosen["healing"] == outcome["healing"]["method"]
    assert {"accuracy", "prefill_speedup", "decode_speedup", "weight_bytes"} <= chosen["figures"].keys()
    assert frontier["num_evaluated"] == sum(point["standing"]["num_windows"] for point in frontier["points"])
    assert [entry["method"] for entry in outcome["healing"]["attempts"]] == ["none", "linear", "refit", "magnitude"]
    assert {"auto", "lorp", "shortgpt", "streamline", "greedy, mended"} == {
        entry["method"] for entry in outcome["plan"]["proposals"]
    }
    page = Path(outcome["report"]).read_text()
    assert all(f'data-count="{point["count"]}"' in page for point in frontier["points"])
    assert 'data-attempt="magnitude"' in page
    assert 'data-proposal="streamline"' in page
    _windows_have_one_use(home)
    _the_same_again_does_nothing_again(auto, home, outcome)


def _windows_have_one_use(home: Path) -> None:
    vault = Vault(FolderStore(home / "store"))
    cut = [manifest for manifest in manifests(home).values() if manifest.stage == "windows"]
    assert {manifest.inputs.get("use") for manifest in cut} == {None, "search", "healing", "frontier"}
    ids = [entry for manifest in cut for entry in window_ids(json.loads(vault.read(manifest.outputs["windows"])))]
    assert len(ids) == len(set(ids))


def _the_same_again_does_nothing_again(auto: Lorp, home: Path, outcome: dict[str, object]) -> None:
    before = manifests(home)
    again = auto("--max-perplexity-ratio=1.05").json
    assert {**again, "run": ""} == {**outcome, "run": ""}
    assert not redone(home, before)


def test_where_nothing_keeps_the_budget_the_least_is_judged_and_rejected(auto: Lorp) -> None:
    done = auto("--max-perplexity-ratio=0.5")
    assert done.status == 3
    assert done.json["frontier"]["chosen"] == 1
    assert not done.json["verdict"]["approved"]


def test_depth_is_found_for_one_selector_without_healing_too(auto: Lorp) -> None:
    done = auto("--method=shortgpt", "--heal=none", "--max-perplexity-ratio=100")
    assert done.status == 0
    assert done.json["frontier"]["chosen"] == 4
    assert (done.json["plan"]["method"], done.json["healing"]["method"]) == ("shortgpt", "none")
    assert done.json["plan"]["stability"]["over"] == "capture"


def test_blocks_that_no_map_can_be_folded_into_are_searched_as_they_are(
    lorp: Lorp, tmp_path: Path, prefect_server: None
) -> None:
    from families import CASES, make_case

    [case] = [case for case in CASES if str(case) == "OLMo 2: own head"]
    source = make_case(case, tmp_path / "olmo")
    done = lorp("recompress", source, *PICO_OPTIONS, *AUTO, "--remove=1", "--tasks=none", "--max-perplexity-ratio=100")
    assert done.status == 0
    refused = {entry["method"]: entry["refused"] for entry in done.json["healing"]["attempts"]}
    assert refused["none"] is None
    assert refused["refit"] is None
    assert "a norm follows what its blocks write" in refused["linear"]
    assert "a norm follows what its blocks write" in refused["magnitude"]
    assert "greedy" in {entry["method"] for entry in done.json["plan"]["proposals"]}
    assert "Mean loss of the plans as they are, on" in Path(done.json["report"]).read_text()
