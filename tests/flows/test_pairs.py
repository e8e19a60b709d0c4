"""A small T5 that has learnt to copy is pruned in each stack on pairs: healed, judged, shown and audited."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from families import Case, make_case
from pico import save_byte_tokenizer
from support import Lorp
from trained import tokens_of_topics, train

#: Of single bytes; one that does not look at the source comes no lower than 20.
LEARNT = 10.0
LENGTH, ENCODER, DECODER = 24, 6, 4
SETTINGS = {
    "vocab_size": 256, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": ENCODER, "num_decoder_layers": DECODER,
    "num_heads": 4, "relative_attention_max_distance": 32, "dropout_rate": 0.0, "eos_token_id": None,
    "pad_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
OPTIONS = (
    "--calibration-windows=24", "--evaluation-windows=80", "--window-tokens=32", "--speed-rounds=0",
    "--generation-prompts=8", "--generation-tokens=16", "--max-perplexity-ratio=3", "--search-swaps=4", "--json",
)  # fmt: skip


def copies(seeded: random.Random) -> dict[str, Any]:
    import torch

    tokens = tokens_of_topics()
    starts = [seeded.randrange(len(tokens) - LENGTH) for _ in range(16)]
    ids = torch.tensor([tokens[start : start + LENGTH] for start in starts])
    return {"input_ids": ids, "labels": ids}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(**SETTINGS))
    return train(model, tmp_path_factory.mktemp("copies"), copies, steps=300)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("pairs")
    save_byte_tokenizer(folder)
    tokenizer, tokens = AutoTokenizer.from_pretrained(folder), tokens_of_topics()
    texts = [tokenizer.decode(tokens[start : start + LENGTH]) for start in range(0, 600 * LENGTH, LENGTH)]
    rows = [{"asked": text, "answer": text} for text in texts if text.strip()]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(("stack", "count", "method"), [("decoder", 1, "greedy"), ("encoder", 2, "lorp")])
def test_a_stack_is_pruned_healed_and_audited(
    trained: Path, pairs: Path, lorp: Lorp, prefect_server: None, stack: str, count: int, method: str
) -> None:
    asked = (f"--stack={stack}", f"--pairs={pairs}#asked:answer", f"--remove={count}", f"--method={method}")
    plain, healed = (lorp("recompress", trained, *asked, *OPTIONS, f"--heal={heal}") for heal in ("none", "auto"))
    assert (plain.status, healed.status) == (0, 0), plain.err + healed.err
    assert plain.json["perplexity"]["dense"] < LEARNT
    assert plain.json["perplexity"]["ratio"] > 1
    assert healed.json["perplexity"]["ratio"] < plain.json["perplexity"]["ratio"]
    variant = Path(healed.json["report"]).parents[1] / "variants" / healed.json["variant"]["digest"]
    config = json.loads((variant / "config.json").read_text())
    depths = {"encoder": ENCODER, "decoder": DECODER, stack: {"encoder": ENCODER, "decoder": DECODER}[stack] - count}
    assert (config["num_layers"], config["num_decoder_layers"]) == (depths["encoder"], depths["decoder"])
    assert config["lorp"]["stack"] == stack
    page = Path(healed.json["report"]).read_text()
    assert f"blocks of its {stack} (" in page
    assert "80 pairs of a source and its text, at most 32 tokens each, from 80 documents" in page
    assert "Texts that are greedily made from 8 sources" in page
    told = lorp("audit", "--all", "--replay", "--json")
    assert (told.status, told.json["faults"]) == (0, [])


def test_both_stacks_are_pruned_within_one_budget(trained: Path, pairs: Path, lorp: Lorp, prefect_server: None) -> None:
    asked = ("--stack=both", f"--pairs={pairs}#asked:answer", "--remove=1", "--method=greedy", "--heal=none")
    done = lorp("recompress", trained, *OPTIONS, *asked, "--max-perplexity-ratio=9", "--name=both")
    assert done.status == 0, done.err
    decoder, encoder = map(json.loads, done.out.splitlines())
    assert (decoder["plan"]["stack"], encoder["plan"]["stack"]) == ("decoder", "encoder")
    assert encoder["checkpoint"]["digest"] == decoder["variant"]["digest"]
    assert (decoder["model_version"], encoder["model_version"]) == (1, 2)
    [criterion] = encoder["verdict"]["criteria"]
    left = 9 / decoder["perplexity"]["upper_bound"]
    assert left - 1e-4 < criterion["budget"] <= left
    assert encoder["perplexity"]["dense"] == pytest.approx(decoder["perplexity"]["pruned"])
    for kind in ("capture", "search", "trial"):
        stages = Path(decoder["report"]).parents[1].glob(f"stages/{kind}-*.json")
        about = [re.findall(r'"stack":"(\w+)"', stage.read_text()) for stage in stages]
        assert {stack for found in about for stack in found} == {"decoder", "encoder"}
        assert all(about)
    why = lorp("why", "both@2", "--json")
    assert (why.json["stack"], why.json["kept"]) == ("encoder", encoder["plan"]["kept"])


def test_a_decoder_that_is_rejected_ends_it(trained: Path, pairs: Path, lorp: Lorp, prefect_server: None) -> None:
    asked = ("--stack=both", f"--pairs={pairs}#asked:answer", "--remove=1", "--method=shortgpt", "--heal=none")
    done = lorp("recompress", trained, *OPTIONS, *asked, "--max-perplexity-ratio=0.5")
    assert (done.status, done.out.count("\n")) == (3, 1), done.err


def test_what_is_done_is_told_even_if_the_rest_cannot_be(
    pairs: Path, lorp: Lorp, prefect_server: None, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "num_layers": 3, "num_decoder_layers": 6}
    source = make_case(Case(family="T5", stack="decoder", layout="", settings=settings), tmp_path / "shallow")
    asked = ("--stack=both", f"--pairs={pairs}#asked:answer", "--remove=3", "--method=shortgpt", "--heal=none")
    done = lorp("recompress", source, *OPTIONS, *asked, "--max-perplexity-ratio=1000000")
    assert (done.status, json.loads(done.out)["plan"]["stack"]) == (2, "decoder"), done.err
    assert "3 of 3 blocks cannot be removed" in done.err


def test_as_many_blocks_as_the_budget_allows(trained: Path, pairs: Path, lorp: Lorp, prefect_server: None) -> None:
    asked = ("--stack=encoder", f"--pairs={pairs}#asked:answer", "--method=shortgpt", "--max-perplexity-ratio=100")
    found = lorp("recompress", trained, *OPTIONS, *asked)
    assert found.status == 0, found.err
    assert len(found.json["plan"]["removed"]) == ENCODER - DECODER


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pairs=PAIRS#asked:answer"], "T5 has two stacks of blocks. Say which with --stack"),
        (["--stack=decoder"], "is text by itself, and an encoder-decoder makes it from a source. Give pairs"),
        (["--stack=encoder", "--pairs=PAIRS#asked:answer", "--remove=3"], "3 of 6 blocks cannot go from the encoder"),
        (["--stack=decoder", "--pairs=PAIRS#asked:answer", "--tasks=copa"], "tasks are asked of text"),
        (["--stack=decoder", "--pairs=PAIRS"], "has no field 'source'; it has asked, answer"),
        (["--stack=decoder", "--pairs=PAIRS", "--calibration=c4"], "--pairs is both calibration and evaluation text"),
        (["--stack=decoder", "--pairs=PAIRS#asked:answer,joined"], "cannot be joined"),
        (["--stack=middle", "--pairs=PAIRS"], "Invalid value for '--stack'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    trained: Path, pairs: Path, lorp: Lorp, prefect_server: None, options: list[str], said: str
) -> None:
    words = [option.replace("PAIRS", str(pairs)) for option in options]
    told = lorp("recompress", trained, "--remove=1", *OPTIONS[:-1], *words)
    *_, last = told.err.splitlines()
    assert (told.status, said in last) == (2, True), told.err


def test_a_model_with_one_stack_takes_neither(pico: Path, pairs: Path, lorp: Lorp, prefect_server: None) -> None:
    one = lorp("recompress", pico, "--remove=1", "--stack=encoder")
    assert (one.status, "one stack of blocks" in one.err) == (2, True), one.err
    other = lorp("recompress", pico, "--remove=1", f"--pairs={pairs}#asked:answer", *OPTIONS[:-1])
    assert (other.status, "is a pair, and text by itself is wanted" in other.err) == (2, True), other.err
