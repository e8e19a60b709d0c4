"""What lorp costs, as ratios measured in one run: `python benchmarks/speed.py [--windows 16] [--rounds 5]`.

Every figure is a ratio of two things done in turn, on the same windows, in this run, on this machine: noise of a shared
machine hits both. Memory is what a process holds at its peak above what it held with the model loaded, each measured in
a process of its own.

- capture / bare: capture and scoring against the bare forward pass of the model's body;
- reference / capture: the reference recipe against capture and scoring. That recipe is a full forward pass with logits,
  hooks that keep every block's input, a float32 stack of them, and an einsum over it, one window at a time. It is
  measured in both ways in which that can be written: a product a token and then the mean, as the paper's equation 4
  reads, and one product over all tokens, which is quicker;
- capture's memory / the reference recipe's;
- cp / surgery: seconds of `cp -r` against those of pruning 8 of 30 blocks, per byte written;
- flow / stages: seconds of a whole first run against the sum of its stages' own.
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

WINDOW_TOKENS = 256
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


def _windows(num_windows: int) -> list:
    from lorp.corpus import Window

    tokens = [7 * index % 40_000 + 5 for index in range(num_windows * WINDOW_TOKENS)]
    return [
        Window(
            id=f"w@{start}", document=f"w{start}", text_sha256="", tokens=tuple(tokens[start : start + WINDOW_TOKENS])
        )
        for start in range(0, len(tokens), WINDOW_TOKENS)
    ]


def _works(checkpoint: Path, num_windows: int) -> dict[str, Callable[[], object]]:
    from lorp.architectures import family_of
    from lorp.checkpoint import read_json
    from lorp.models import load_model
    from lorp.spec import ComputeSpec

    model = load_model(checkpoint, ComputeSpec())
    family, windows = family_of(read_json(checkpoint / "config.json")), _windows(num_windows)
    return {
        "capture": lambda: _capture_and_score(model, family, windows),
        "bare": lambda: _bare(model, windows),
        "reference": lambda: _reference(model, windows, "itd,jtd->ijt"),
        "quick reference": lambda: _reference(model, windows, "itd,jtd->ij"),
    }


def _capture_and_score(model: object, family: object, windows: list) -> object:
    """Cosine sums and sampled states of all windows, then similarity and RLS with its bootstrap interval."""
    import numpy as np

    from lorp.capture import capture_windows
    from lorp.parquet import WindowSums
    from lorp.similarity import similarity_of

    captures = capture_windows(model, family, windows, 8, 0)
    sums = WindowSums(
        ids=tuple(capture.window.id for capture in captures),
        documents=tuple(capture.window.document for capture in captures),
        num_tokens=np.array([len(capture.window.tokens) for capture in captures]),
        cosine_sums_WLL=np.stack([capture.cosine_sums_LL for capture in captures]),
    )
    return similarity_of([sums], 0)


def _bare(model: object, windows: list) -> None:
    import torch

    with torch.inference_mode():
        for window in windows:
            model.base_model(input_ids=torch.tensor([window.tokens]), use_cache=False)  # type: ignore[attr-defined]


def _reference(model: object, windows: list, products: str) -> object:
    """The reference recipe, in our own words."""
    import torch

    kept: list[torch.Tensor] = []
    blocks = model.model.layers  # type: ignore[attr-defined]
    hooks = [block.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach())) for block in blocks]
    total = torch.zeros(len(blocks), len(blocks), dtype=torch.float64)
    with torch.inference_mode():
        for window in windows:
            kept.clear()
            model(input_ids=torch.tensor([window.tokens]))  # type: ignore[operator]
            unit = torch.nn.functional.normalize(torch.stack(kept)[:, 0].float(), dim=-1)
            summed = torch.einsum(products, unit, unit)
            total += (summed.sum(-1) if summed.dim() == 3 else summed).double() / unit.shape[1]
    for hook in hooks:
        hook.remove()
    return total / len(windows)


def _times(checkpoint: Path, num_windows: int, rounds: int) -> dict:
    works = _works(checkpoint, num_windows)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for turn in range(rounds):
        names = list(works) if turn % 2 == 0 else list(works)[::-1]
        for name in names:
            seconds[name].append(_seconds(works[name]))
    to_bare = _ratio(seconds["capture"], seconds["bare"])
    to_reference = _ratio(seconds["reference"], seconds["capture"])
    to_quick = _ratio(seconds["quick reference"], seconds["capture"])
    shown = {name: f"{median(values):.2f} s" for name, values in seconds.items()}
    return {
        "capture and scoring / bare body forward": (to_bare, "at most 1.05", f"{shown['capture']} / {shown['bare']}"),
        "reference recipe / capture and scoring": (
            to_reference, "at least 1.3", f"{shown['reference']} / {shown['capture']}",
        ),
        "the same, one product over all tokens": (
            to_quick, "-", f"{shown['quick reference']} / {shown['capture']}",
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

    _works(options.checkpoint, 1)[options.only]()  # imports what it needs
    work = _works(options.checkpoint, options.windows)
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
    code = "import sys; from benchmarks.speed import timed_runs; timed_runs(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, checkpoint], check=True, capture_output=True, text=True, env=environment,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    flow_seconds, stage_seconds = json.loads(done.stdout.splitlines()[-1])
    shown = f"{flow_seconds:.1f} s / {stage_seconds:.1f} s"
    return {"flow / sum of its stages": (flow_seconds / stage_seconds, "at most 1.1", shown)}


def timed_runs(checkpoint: str) -> None:
    """Runs a small job and then a whole one; prints seconds of the second's flow, and of the stages that it ran."""
    from flows.recompress import run_recompress
    from lorp.spec import (
        CalibrationSpec,
        DownstreamSpec,
        EvaluationSpec,
        GenerationSpec,
        PruningSpec,
        RecompressSpec,
        SpeedSpec,
    )
    from tasks.vault import open_vault
    from tasks.workspace import make_home, workspace

    make_home()
    places = workspace()
    vault = open_vault(places.store)

    def spent() -> float:
        manifests = [vault.result(Path(key).stem) for key in vault.store.keys("stages")]
        return sum(manifest.seconds for manifest in manifests if manifest)

    small = RecompressSpec(
        source=checkpoint,
        name="bench",
        pruning=PruningSpec(remove=1),
        calibration=CalibrationSpec(num_windows=8),
        evaluation=EvaluationSpec(num_windows=30, window_tokens=64),
        tasks=DownstreamSpec(tasks=()),
        generation=GenerationSpec(num_prompts=0),
        speed=SpeedSpec(repeats=0),
    )
    whole = RecompressSpec(
        source=checkpoint, name="bench", pruning=PruningSpec(remove=3), tasks=DownstreamSpec(limit=30)
    )
    run_recompress(small, places)
    before = spent()
    begun = time.perf_counter()
    run_recompress(whole, places)
    flow_seconds = time.perf_counter() - begun
    print(json.dumps([flow_seconds, spent() - before]))


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
