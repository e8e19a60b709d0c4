"""What lorp costs, as ratios measured in one run: `python benchmarks/speed.py [--windows 16] [--rounds 5]`.

Every figure is a ratio of two things done in turn, on the same windows, in this run, on this machine: noise of a shared
machine hits both. Memory is what a process holds at its peak above what it held with the model loaded, each measured in
a process of its own.

- capture / bare: capture and scoring against the bare forward pass of the model's body;
- reference / capture: the reference recipe against capture and scoring. That recipe is a full forward pass with logits,
  hooks that keep every block's input, a float32 stack of them, and an einsum over it, one window at a time. It is
  measured in both ways in which that can be written: a product a token and then the mean, as the paper's equation 4
  reads, and one product over all tokens;
- capture's memory / the reference recipe's;
- cp / surgery: seconds of `cp -r` against those of pruning 8 of 30 blocks, per byte written;
- flow / stages: seconds of a whole run against the sum of its stages' own; Prefect has started before.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from recipes import works

REMOVED = tuple(range(10, 18))


def main() -> None:
    """Measures everything and prints a Markdown table."""
    options = _options()
    if options.only:
        _measure_alone(options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = _checkpoint(Path(scratch))
        rows = {
            **_times(checkpoint, options.windows, options.rounds),
            **_memory(checkpoint, options.windows),
            **_surgery(checkpoint, Path(scratch), options.rounds),
            **_flow(checkpoint, Path(scratch)),
        }
    print("| figure | ratio | aim | measured |\n|---|---|---|---|")
    for name, (ratio, aim, detail) in rows.items():
        print(f"| {name} | {ratio:.3g} | {aim} | {detail} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("capture", "reference"), help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _checkpoint(scratch: Path) -> Path:
    """SmolLM2-135M-Instruct as safetensors in float32."""
    from flows.demo import demo_source
    from lorp.gguf import dequantise

    folder = scratch / "dense"
    folder.mkdir()
    dequantise(demo_source(), folder, "float32")
    return folder


def _times(checkpoint: Path, num_windows: int, rounds: int) -> dict:
    measured = works(checkpoint, num_windows)
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for work in measured.values():
        work()
    for turn in range(rounds):
        names = list(measured) if turn % 2 == 0 else list(measured)[::-1]
        for name in names:
            seconds[name].append(_seconds(measured[name]))
    to_bare = _ratio(seconds["capture"], seconds["bare"])
    to_reference = _ratio(seconds["reference"], seconds["capture"])
    to_joined = _ratio(seconds["joined reference"], seconds["capture"])
    shown = {name: f"{median(values):.2f} s" for name, values in seconds.items()}
    return {
        "capture and scoring / bare body forward": (to_bare, "at most 1.05", f"{shown['capture']} / {shown['bare']}"),
        "reference recipe / capture and scoring": (
            to_reference, "at least 1.3", f"{shown['reference']} / {shown['capture']}",
        ),
        "the same, one product over all tokens": (
            to_joined, "-", f"{shown['joined reference']} / {shown['capture']}",
        ),
    }  # fmt: skip


def _memory(checkpoint: Path, num_windows: int) -> dict:
    held = {
        name: int(
            subprocess.run(
                [sys.executable, __file__, "--only", name, "--checkpoint", checkpoint, "--windows", str(num_windows)],
                check=True, capture_output=True, text=True, env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
            ).stdout.splitlines()[-1]
        )
        for name in ("capture", "reference")
    }  # fmt: skip
    shown = {name: f"{value / 1e6:.0f} MB" for name, value in held.items()}
    ratio = held["capture"] / held["reference"]
    return {
        "capture's memory / reference recipe's, above the model": (
            ratio, "at most 0.333", f"{shown['capture']} / {shown['reference']}",
        )
    }  # fmt: skip


def _measure_alone(options: argparse.Namespace) -> None:
    """Prints the bytes that one work holds at its peak above what was held with the model loaded and warm."""
    import ctypes
    import gc

    import torch

    works(options.checkpoint, 1)[options.only]()  # imports what it needs
    work = works(options.checkpoint, options.windows)
    with torch.inference_mode():
        work["bare"]()
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work[options.only]()
    print(_resident("VmHWM") - before)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field)))


def _surgery(checkpoint: Path, scratch: Path, rounds: int) -> dict:
    from lorp.checkpoint import open_checkpoint
    from lorp.plan import Removal, plan_of
    from lorp.surgery import prune

    opened = open_checkpoint(checkpoint)
    plan = plan_of("by hand", opened.num_blocks, [Removal(block=block, cluster=None, score=0.0) for block in REMOVED])
    copied, pruned = [], []
    for turn in range(rounds + 1):
        copy, variant = scratch / f"copy{turn}", scratch / f"variant{turn}"
        variant.mkdir()
        copied.append(_bytes(checkpoint) / _seconds(lambda copy=copy: _copy(checkpoint, copy)))
        begun = time.perf_counter()
        prune(opened, plan, variant)
        pruned.append(_bytes(variant) / (time.perf_counter() - begun))
        shutil.rmtree(copy)
        shutil.rmtree(variant)
    ratio = _ratio(pruned[1:], copied[1:])
    shown = f"{median(pruned[1:]) / 1e6:.0f} / {median(copied[1:]) / 1e6:.0f} MB/s"
    return {"surgery's bytes a second / those of cp with sync": (ratio, "at least 0.8", shown)}


def _copy(source: Path, target: Path) -> None:
    """As surgery does, until the bytes are on the disk."""
    subprocess.run(["cp", "-r", source, target], check=True)
    for path in target.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _flow(checkpoint: Path, scratch: Path) -> dict:
    """A whole run in a new home; Prefect's start apart, which the first of two runs pays for."""
    environment = {**os.environ, "LORP_HOME": str(scratch / "home")}
    script = Path(__file__).with_name("timed_runs.py")
    done = subprocess.run(
        [sys.executable, script, checkpoint], check=True, capture_output=True, text=True, env=environment
    )
    flow_seconds, stage_seconds = json.loads(done.stdout.splitlines()[-1])
    shown = f"{flow_seconds:.1f} s / {stage_seconds:.1f} s"
    return {"flow / sum of its stages": (flow_seconds / stage_seconds, "at most 1.1", shown)}


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _ratio(ones: list[float], others: list[float]) -> float:
    return median(one / other for one, other in zip(ones, others, strict=True))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    main()
