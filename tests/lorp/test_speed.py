"""Time and memory: bytes are exact, and both models are timed in turn."""

from pathlib import Path

import pytest
from pico import NUM_BLOCKS
from test_surgery import cut
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorp.evaluation.decoding import text_prompt
from lorp.evaluation.speed import Memory, Round, SpeedComparison, Timing, measure_memory, measure_rounds
from lorp.models import cpuinfo_name, processor_name
from lorp.spec import SpeedSpec

PROMPT = list(range(2, 42))


def load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder).eval()
    return model


def comparison(rounds: tuple[Round, ...]) -> SpeedComparison:
    return SpeedComparison(
        dense="d", pruned="p", processor="cpu", dtype="float32", threads=1, prefill_tokens=10, decode_tokens=6,
        rounds=rounds, dense_memory=Memory(weights=1000, kv_token=10, peak=1500),
        pruned_memory=Memory(weights=800, kv_token=5, peak=1200),
    )  # fmt: skip


def test_speedups_and_memory_worked_by_hand() -> None:
    once = Round(dense=Timing(prefill=3.0, decode=1.0), pruned=Timing(prefill=2.0, decode=0.8))
    measured = comparison((once,))
    assert measured.prefill_speedups == [1.5]
    assert measured.decode_speedups == [1.25]
    assert measured.memory_ratio == (800 + 16 * 5) / (1000 + 16 * 10)


def test_bytes_are_those_of_weights_and_cache_and_the_same_each_time(pico: Path, tmp_path: Path) -> None:
    dense, pruned = load(pico), load(cut(pico, tmp_path / "variant", 1, 2))
    one, again, fewer = (measure_memory(model, text_prompt(model, [PROMPT])) for model in (dense, dense, pruned))
    assert one == again
    # 2 KV heads of 8 numbers, keys and values, 4 bytes each, a block.
    assert one.kv_token == NUM_BLOCKS * 2 * 2 * 8 * 4
    assert fewer.kv_token == (NUM_BLOCKS - 2) * 2 * 2 * 8 * 4
    block = sum(parameter.nbytes for parameter in dense.model.layers[1].parameters())
    assert one.weights - fewer.weights == 2 * block
    cache = one.kv_token * len(PROMPT)
    assert one.weights + cache < one.peak < one.weights + cache + 40 * cache
    assert one.peak > fewer.peak


def test_a_longer_prompt_holds_more(pico: Path) -> None:
    model = load(pico)
    twice, once = (text_prompt(model, [PROMPT * times]) for times in (2, 1))
    assert measure_memory(model, twice).peak > measure_memory(model, once).peak


def test_every_round_times_both_and_who_goes_first_alternates(pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, pruned = load(pico), load(pico)
    order: list[str] = []
    for name, model in (("dense", dense), ("pruned", pruned)):
        model.register_forward_pre_hook(lambda *_, name=name: order.append(name))
    rounds = measure_rounds(dense, pruned, text_prompt(dense, [PROMPT]), SpeedSpec(repeats=3, decode_tokens=2))
    assert len(rounds) == 3
    assert all(value > 0 for entry in rounds for value in (entry.dense.prefill, entry.pruned.decode))
    assert order[::3] == ["dense", "pruned", "dense", "pruned", "pruned", "dense", "dense", "pruned"]


def test_the_processor_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n")
    assert cpuinfo_name(tmp_path / "cpuinfo") == "Some CPU @ 2 GHz"
    assert cpuinfo_name(tmp_path / "none") is None
    assert processor_name("cpu")
