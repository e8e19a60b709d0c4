"""A job whose models are streamed comes to what one with models in memory does."""

import json

import pytest
from support import Lorp, manifests

LOOSE = "--max-perplexity-ratio=1000"
QUICK = ("--speed-rounds=0", "--generation-prompts=0", "--tasks=none", "--method=shortgpt", LOOSE)


def test_a_streamed_job_comes_to_the_same(recompress: Lorp, lorp: Lorp) -> None:
    memory, streamed = (recompress(*QUICK, "--heal=auto", f"--capture-mode={mode}") for mode in ("memory", "streamed"))
    assert (memory.status, streamed.status) == (0, 0), memory.err + streamed.err
    assert "capture blocks: 6 of 6" in streamed.err
    assert streamed.json["plan"]["removed"] == memory.json["plan"]["removed"]
    assert streamed.json["variant"] == memory.json["variant"]
    assert streamed.json["perplexity"] == memory.json["perplexity"]
    assert streamed.json["similarity"]["rls"] == pytest.approx(memory.json["similarity"]["rls"], abs=1e-5)
    told = lorp("audit", "--all", "--replay", "--json")
    assert (told.status, told.json["faults"]) == (0, [])


def test_all_windows_of_a_streamed_capture_are_one_shard(recompress: Lorp, home: object) -> None:
    assert recompress(*QUICK, "--heal=none", "--capture-mode=streamed").status == 0
    captures = [each for each in manifests(home).values() if each.stage == "capture"]  # type: ignore[arg-type]
    assert [each.inputs["capture_mode"] for each in captures] == ["streamed"]


def test_a_search_by_loss_can_be_streamed(recompress: Lorp) -> None:
    asked = ("--speed-rounds=0", "--generation-prompts=2", "--method=greedy", "--heal=none", LOOSE)
    memory, streamed = (recompress(*asked, f"--capture-mode={mode}") for mode in ("memory", "streamed"))
    assert streamed.json["plan"] == memory.json["plan"]
    assert streamed.json["measured"] == memory.json["measured"]


def test_nothing_is_timed_while_weights_are_read(recompress: Lorp) -> None:
    done = recompress(LOOSE, "--capture-mode=streamed")
    assert done.status == 2
    assert "give --speed-rounds 0" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert json.loads(done.out or "{}") == {}
