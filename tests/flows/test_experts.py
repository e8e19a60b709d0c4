"""A small Mixture-of-Experts that has learnt something is pruned, healed, judged, shown and audited."""

import re
from pathlib import Path

import pytest
from pico import NUM_BLOCKS
from support import Lorp
from trained import text_batch, train

#: Of single bytes; one that knows nothing but how frequent they are has 24.
LEARNT = 20.0
OPTIONS = (
    "--calibration-windows=24", "--evaluation-windows=40", "--window-tokens=64", "--tasks=none", "--speed-rounds=0",
    "--generation-prompts=0", "--remove=2", "--method=greedy", "--max-perplexity-ratio=1.5", "--name=experts", "--json",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=256, hidden_size=64, intermediate_size=64, num_hidden_layers=NUM_BLOCKS, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=256,
        bos_token_id=None, eos_token_id=None, pad_token_id=None, tie_word_embeddings=True, output_router_logits=True,
    )  # fmt: skip
    return train(MixtralForCausalLM(config), tmp_path_factory.mktemp("experts"), text_batch, steps=200)


def test_a_trained_mixture_of_experts_is_pruned_healed_shown_and_audited(
    trained: Path, lorp: Lorp, prefect_server: None
) -> None:
    plain, healed = (lorp("recompress", trained, *OPTIONS, f"--heal={method}") for method in ("none", "auto"))
    assert (plain.status, healed.status) == (0, 0), plain.err + healed.err
    assert plain.json["perplexity"]["dense"] < LEARNT
    assert plain.json["perplexity"]["ratio"] > 1
    assert healed.json["perplexity"]["ratio"] < plain.json["perplexity"]["ratio"]
    attempts = {each["method"]: each["refused"] for each in healed.json["healing"]["attempts"]}
    assert attempts == dict.fromkeys(("none", "linear", "refit", "magnitude"))
    page = Path(healed.json["report"]).read_text()
    assert re.findall(r'data-experts="(\d+)"', page) == [str(block) for block in healed.json["plan"]["kept"]]
    shares = [float(share) for share in re.findall(r"<h2>Experts: ([\d.]+)\s%", page)]
    assert len(shares) == 1
    assert 0 < shares[0] < 100
    record = Path(healed.json["lineage"].removeprefix("file://")).read_text()
    assert {"dense_expert_load", "pruned_expert_load"} <= set(re.findall(r'"(\w+_expert_load)"', record))
    told = lorp("audit", "--all", "--replay", "--json")
    assert (told.status, told.json["faults"]) == (0, [])
