"""Healing as part of the job: what it redoes, what it stores, and that it sees no window that anything else saw."""

import json
from pathlib import Path

import torch
from families import CASES, make_case
from safetensors.torch import load_file
from support import PICO_OPTIONS, Lorp, manifests, window_ids
from test_recompress import redone
from transformers import AutoModelForCausalLM

from tasks.store import FolderStore
from tasks.vault import Vault

LOOSE = "--max-perplexity-ratio=100"
REFIT = ("--heal=refit", "--heal-windows=12")


def test_a_healed_variant_is_the_plan_with_new_weights(recompress: Lorp, home: Path) -> None:
    plain = recompress(LOOSE).json
    before = manifests(home)
    done = recompress(LOOSE, *REFIT)
    assert done.status == 0
    outcome = done.json
    assert outcome["plan"] == plain["plan"]
    assert outcome["healing"]["method"] == "refit"
    assert {entry["block"] for entry in outcome["healing"]["repairs"]} <= set(outcome["plan"]["kept"])
    assert (outcome["variant"]["weight_bytes"], outcome["model_version"]) == (plain["variant"]["weight_bytes"], 2)
    stages = {"windows": 1, "heal": 1, "prune": 1, "evaluate": 1, "answers": 1, "generate": 1, "speed": 1}
    assert redone(home, before) == {**stages, "gate": 1, "register": 1}
    variant = Path(outcome["variant"]["uri"].removeprefix("file://"))
    _, loading = AutoModelForCausalLM.from_pretrained(variant, output_loading_info=True)
    assert not any(loading.values())
    healed, unhealed = (
        load_file(Path(entry["variant"]["uri"].removeprefix("file://")) / "model.safetensors")
        for entry in (outcome, plain)
    )
    [patch] = (home / "store" / "patches").glob("*/patch.safetensors")
    new = load_file(patch)
    changed = {name for name, tensor in healed.items() if not torch.equal(tensor, unhealed[name])}
    assert len(changed) == len(new) > 0
    before = manifests(home)
    assert {**recompress(LOOSE, *REFIT).json, "run": ""} == {**outcome, "run": ""}
    assert not redone(home, before)


def test_no_window_has_two_uses(recompress: Lorp, home: Path) -> None:
    recompress(LOOSE, *REFIT)
    vault = Vault(FolderStore(home / "store"))
    cut = [manifest for manifest in manifests(home).values() if manifest.stage == "windows"]
    assert [manifest.inputs["sizes"] for manifest in cut if "sizes" in manifest.inputs] == [[12, 16]]
    ids = [entry for manifest in cut for entry in window_ids(json.loads(vault.read(manifest.outputs["windows"])))]
    assert len(ids) == len(set(ids)) == 16 + 12 + 16 + 40


def test_lost_weights_are_fitted_again(recompress: Lorp, home: Path) -> None:
    first = recompress(LOOSE, *REFIT).json
    [patch] = (home / "store" / "patches").glob("*/patch.safetensors")
    stored = patch.read_bytes()
    patch.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    again = recompress(LOOSE, *REFIT)
    assert "heal 2 removed: started" in again.err
    assert patch.read_bytes() == stored
    assert again.json["variant"] == first["variant"]


def test_blocks_that_cannot_be_healed_so_are_said_to_be_in_one_line(
    lorp: Lorp, tmp_path: Path, prefect_server: None
) -> None:
    [case] = [case for case in CASES if str(case) == "OLMo 2: own head"]
    source = make_case(case, tmp_path / "olmo")
    done = lorp("recompress", source, "--remove=1", *PICO_OPTIONS, "--heal=linear")
    assert done.status == 2
    assert "a norm follows what its blocks write. Use --heal refit" in done.err.splitlines()[-1]
