"""What a checkpoint larger than memory costs: `python benchmarks/large.py --work FOLDER [--hidden 4096] [--blocks 32]`.

A Llama-shaped checkpoint in bfloat16 with random weights is written shard by shard; the defaults are those of
Llama-3-8B, 16 GB. It is made once a folder. Then, each in a process of its own:

- streamed capture of a few windows: the process's largest resident memory, as a share of the checkpoint's bytes;
- surgery of a quarter of the blocks: its largest resident memory, and its bytes a second beside those of `cp`, in turn.

Random weights say nothing of what lorp does to a model, and cost the same.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

_SHARD = "model-{:05d}-of-{:05d}.safetensors"


def main() -> None:
    """Measures everything and prints a Markdown table."""
    options = _options()
    if options.only:
        print(json.dumps(_ALONE[options.only](options)))
        return
    checkpoint = options.work / "dense"
    if not (checkpoint / "config.json").is_file():
        _write(checkpoint, options)
    size = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
    captured, cut = (_alone(name, options) for name in ("capture", "surgery"))
    print(f"checkpoint: {size / 1e9:.2f} GB, {options.blocks} blocks\n")
    print("| figure | value | aim |\n| --- | --- | --- |")
    share = captured["memory"] / size
    print(
        f"| streamed capture's memory / checkpoint | {share:.3f} ({captured['memory'] / 1e9:.2f} GB) | at most 0.25 |"
    )
    print(f"| seconds of streamed capture / of reading all weights | {captured['ratio']:.2f} | - |")
    print(f"| surgery's memory | {cut['memory'] / 1e6:.0f} MB | at most 500 MB |")
    print(f"| surgery's bytes a second / those of cp with sync | {cut['ratio']:.2f} ({cut['shown']}) | at least 0.8 |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--blocks", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, default=128256)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=("capture", "surgery"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _config(options: argparse.Namespace) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=options.vocabulary,
        hidden_size=options.hidden,
        intermediate_size=options.hidden * 7 // 2,
        num_hidden_layers=options.blocks,
        num_attention_heads=options.hidden // 128,
        num_key_value_heads=max(1, options.hidden // 512),
        tie_word_embeddings=False,
        dtype="bfloat16",
    )


def _write(folder: Path, options: argparse.Namespace) -> None:
    """Embeddings and head in a shard each, every block in one of its own."""
    import torch
    from accelerate import init_empty_weights
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    folder.mkdir(parents=True)
    config = _config(options)
    with init_empty_weights():
        shapes = {name: tensor.shape for name, tensor in AutoModelForCausalLM.from_config(config).state_dict().items()}
    groups: dict[str, list[str]] = {}
    for name in shapes:
        part = name.split(".")
        groups.setdefault(part[2] if part[1] == "layers" else name, []).append(name)
    generator, weight_map = torch.Generator().manual_seed(0), {}
    for number, names in enumerate(groups.values(), start=1):
        shard = _SHARD.format(number, len(groups))
        weights = {name: _random(shapes[name], generator) for name in names}
        save_file(weights, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)


def _random(shape: Any, generator: Any) -> Any:
    import torch

    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    return torch.randn(shape, generator=generator, dtype=torch.bfloat16) * 0.02


def _alone(only: str, options: argparse.Namespace) -> dict[str, Any]:
    words = [f"--{name}={value}" for name, value in vars(options).items() if name != "only"]
    done = subprocess.run(
        [sys.executable, __file__, *words, f"--only={only}"], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _capture(options: argparse.Namespace) -> dict[str, Any]:
    import random

    from lorp.capture_streamed import capture_streamed
    from lorp.checkpoint import open_checkpoint
    from lorp.corpus import Window
    from lorp.models import stream_model
    from lorp.spec import ComputeSpec

    folder, draw = options.work / "dense", random.Random(0)
    windows = [
        Window(
            id=f"{number}",
            document=f"{number}",
            text_sha256="",
            tokens=tuple(draw.randrange(options.vocabulary) for _ in range(options.tokens)),
        )
        for number in range(options.windows)
    ]
    begun = time.perf_counter()
    model = stream_model(folder, ComputeSpec(dtype="bfloat16"))
    capture_streamed(model, open_checkpoint(folder).family, windows, 8, 0, options.work)
    seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    for path in folder.glob("*.safetensors"):
        _read(path)
    return {"memory": _peak(), "ratio": seconds / (time.perf_counter() - begun)}


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 23):
            pass


def _surgery(options: argparse.Namespace) -> dict[str, Any]:
    from lorp.checkpoint import open_checkpoint
    from lorp.plan import Removal, plan_of
    from lorp.surgery import prune

    checkpoint = open_checkpoint(options.work / "dense")
    middle = range(options.blocks // 2, options.blocks // 2 + options.blocks // 4)
    plan = plan_of("by hand", checkpoint.num_blocks, [Removal(block=at, cluster=None, score=0.0) for at in middle])
    copied, pruned = [], []
    for _ in range(options.rounds):
        copied.append(_speed(options.work / "copy", lambda to: _copy(checkpoint.folder, to)))
        pruned.append(_speed(options.work / "variant", lambda to: (to.mkdir(), prune(checkpoint, plan, to))))
    ratio = median(one / other for one, other in zip(pruned, copied, strict=True))
    shown = f"{median(pruned) / 1e6:.0f} / {median(copied) / 1e6:.0f} MB/s"
    return {"memory": _peak(), "ratio": ratio, "shown": shown}


def _speed(target: Path, work: Any) -> float:
    """Bytes a second; what was written is removed."""
    begun = time.perf_counter()
    work(target)
    seconds = time.perf_counter() - begun
    size = sum(path.stat().st_size for path in target.iterdir())
    shutil.rmtree(target)
    return size / seconds


def _copy(source: Path, target: Path) -> None:
    """As surgery does, until the bytes are on the disk."""
    subprocess.run(["cp", "-r", source, target], check=True)
    for path in target.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _peak() -> int:
    """Largest resident memory of this process, in bytes; what getrusage says is never less than its parent's."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(line.split()[1])


_ALONE = {"capture": _capture, "surgery": _surgery}


if __name__ == "__main__":
    main()
