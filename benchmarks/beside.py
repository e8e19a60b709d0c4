"""What other work on the machine costs a pass: `python benchmarks/beside.py`.

Blocks of a Llama with random weights are run in processes of their own: alone, beside one that keeps a core busy, and
beside another that does the same. Once threads spin while they wait for one another, as PyTorch comes, and once they
sleep, as lorp sets it (`OMP_WAIT_POLICY`). All of it in turn, a few times over.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

_POLICIES = {"spin": None, "sleep": "PASSIVE"}
_PLACES = ("alone", "beside a busy core", "beside another such pass")


def main() -> None:
    """Measures everything and prints a Markdown table."""
    options = _options()
    if options.passes_for:
        print(_seconds_a_pass(options.passes_for))
        return
    asked = [(policy, place) for policy in _POLICIES for place in _PLACES] * options.rounds
    measured: dict[tuple[str, str], list[float]] = {}
    for policy, place in asked:
        measured.setdefault((policy, place), []).append(_measured(policy, place, options.seconds))
    found = {where: median(times) for where, times in measured.items()}
    print("| figure | value | measured |\n| --- | --- | --- |")
    for place in _PLACES:
        sleeping, spinning = found["sleep", place], found["spin", place]
        shown = f"{sleeping:.3f} s / {spinning:.3f} s"
        print(f"| a pass by threads that sleep / that spin, {place} | {sleeping / spinning:.3f} | {shown} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8, help="for which each process runs passes")
    parser.add_argument("--passes-for", type=float, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measured(policy: str, place: str, seconds: float) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if _POLICIES[policy]:
        environment["OMP_WAIT_POLICY"] = _POLICIES[policy]
    command = [sys.executable, __file__, "--passes-for", str(seconds)]
    others = {"beside a busy core": [sys.executable, "-c", "while True: pass"], "beside another such pass": command}
    busy = [subprocess.Popen(others[place], env=environment, stdout=subprocess.DEVNULL)] if place in others else []
    try:
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _seconds_a_pass(seconds: float) -> float:
    """Median over all passes but the first."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000, hidden_size=576, intermediate_size=1536, num_hidden_layers=10, num_attention_heads=9,
        num_key_value_heads=3,
    )  # fmt: skip
    model, tokens_BT = LlamaModel(config).eval(), torch.randint(0, 1000, (2, 256))
    times: list[float] = []
    with torch.inference_mode():
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            begun = time.perf_counter()
            model(input_ids=tokens_BT, use_cache=False)
            times.append(time.perf_counter() - begun)
    return median(times[1:])


if __name__ == "__main__":
    main()
