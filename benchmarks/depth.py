"""What removing blocks gains: `python benchmarks/depth.py [--hidden 1024] [--blocks 16] [--device cpu]`.

A Llama-shaped checkpoint with random weights is written, a quarter of its blocks is removed, and both are timed in
turn: prefill of a prompt, and decoding token by token. If a share `s` of the dense model's time is spent in its blocks,
and a part `r` of them goes, the best that can be had is a speed-up of `1 / (1 - r s)`. What is had is held against
that. The share is measured in the same rounds, from where the first block begins to where the last one ends.

Bytes of weights are held against the proportion too: what is saved is what the removed blocks hold, to the byte.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.evaluation.decoding import greedy_tokens, text_prompt
from lorp.models import load_model
from lorp.plan import Removal, plan_of
from lorp.spec import ComputeSpec
from lorp.surgery import prune

_AIM = 0.95


def main() -> None:
    """Measures everything and prints a Markdown table."""
    options = _options()
    compute = ComputeSpec(device=options.device, dtype=options.dtype)
    with tempfile.TemporaryDirectory() as scratch:
        dense = open_checkpoint(_written(Path(scratch) / "dense", options))
        variant = _cut(dense, Path(scratch) / "variant")
        models = [load_model(each.folder, compute) for each in (dense, variant)]
        with torch.inference_mode():
            rounds = [_round(models, options, number % 2) for number in range(options.rounds + 1)][1:]
        saved = dense.weight_bytes - variant.weight_bytes
        removed = dense.num_blocks - variant.num_blocks
        exact = saved == removed * _block_bytes(dense)
    print("| figure | value | aim | measured |\n| --- | --- | --- | --- |")
    for name, part in (("prefill", 0), ("decoding", 1)):
        share = median(times[0][part].blocks / times[0][part].whole for times in rounds)
        had = median(times[0][part].whole / times[1][part].whole for times in rounds)
        ideal = 1 / (1 - share * removed / dense.num_blocks)
        shown = f"{had:.3f} of {ideal:.3f}; {share:.1%} of the time is in blocks"
        print(f"| speed-up of {name} / ideal | {had / ideal:.3f} | at least {_AIM} | {shown} |")
    said = f"{saved / 1e6:.1f} MB of {dense.weight_bytes / 1e6:.1f} MB"
    print(f"| weights saved are those of {removed} blocks | {'yes' if exact else 'no'} | to the byte | {said} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def _written(folder: Path, options: argparse.Namespace) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=options.vocabulary,
        hidden_size=options.hidden,
        intermediate_size=options.hidden * 7 // 2,
        num_hidden_layers=options.blocks,
        num_attention_heads=options.hidden // 64,
        num_key_value_heads=options.hidden // 256,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).to(getattr(torch, options.dtype)).save_pretrained(folder)
    return folder


def _cut(dense: Checkpoint, folder: Path) -> Checkpoint:
    middle = range(dense.num_blocks // 2, dense.num_blocks // 2 + dense.num_blocks // 4)
    steps = [Removal(block=block, cluster=None, score=0.0) for block in middle]
    folder.mkdir()
    prune(dense, plan_of("by hand", dense.num_blocks, steps), folder)
    return open_checkpoint(folder)


def _block_bytes(dense: Checkpoint) -> int:
    return sum(tensor.num_bytes for name, tensor in dense.tensors.items() if dense.family.block_of(name) == 0)


class _Times:
    """Seconds of a whole part, and of its blocks."""

    def __init__(self) -> None:
        self.whole = self.blocks = 0.0


def _round(models: list[Any], options: argparse.Namespace, first: int) -> list[tuple[_Times, _Times]]:
    """Prefill and decoding, of the dense model and of the variant, each of which goes first every other time."""
    timed = {at: _timed(models[at], options) for at in (first, 1 - first)}
    return [timed[0], timed[1]]


def _timed(model: Any, options: argparse.Namespace) -> tuple[_Times, _Times]:
    prefill, decoding = _Times(), _Times()
    prompt = [token * 7 % options.vocabulary for token in range(options.prompt)]
    tokens = greedy_tokens(model, text_prompt(model, [prompt]))
    with _counting(model, prefill):
        next(tokens)
    with _counting(model, decoding):
        for _ in islice(tokens, options.tokens):
            pass
    return prefill, decoding


@contextmanager
def _counting(model: Any, times: _Times) -> Iterator[None]:
    """While open, adds up what passes; waiting for a device costs both models the same."""
    first, last, begun = model.model.layers[0], model.model.layers[-1], _now(model)
    entered = [0.0]

    def enter(*_: Any) -> None:
        entered[0] = _now(model)

    def leave(*_: Any) -> None:
        times.blocks += _now(model) - entered[0]

    hooks = [first.register_forward_pre_hook(enter), last.register_forward_hook(leave)]
    yield
    times.whole += _now(model) - begun
    for hook in hooks:
        hook.remove()


def _now(model: Any) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
