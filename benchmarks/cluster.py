"""What a second worker is worth: `python benchmarks/cluster.py [--windows 48]`.

The same sweep (SmolLM2-135M-Instruct, three counts, capture and evaluation and little else) on a Dask cluster of one
worker with one thread, and then on one of two: each with a store of its own, and one Prefect server for both, all on
this machine. Prints seconds of both, their ratio, and whether every stage came to the same digests. The machine must
have nothing else to do; the load that was found when it started is printed too.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

AIM = 1.6
_WARM_WINDOWS = 8
BIN = Path(sys.executable).parent


def main() -> None:
    """Measures both and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=48, help="to capture, and to evaluate on")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        folder = Path(scratch)
        api = running.enter_context(_prefect(folder))
        os.environ.update(OMP_NUM_THREADS="1", PREFECT_HOME=str(folder / "prefect"), PREFECT_API_URL=api)
        checkpoint = _checkpoint(folder)
        seconds, found = {}, {}
        for workers in (1, 2):
            with _dask(folder, workers) as address:
                os.environ.update(LORP_TASK_RUNNER=f"dask://{address}", LORP_HOME=str(folder / f"warm{workers}"))
                _measure(checkpoint, _WARM_WINDOWS)  # so that imports and cold files count for neither
                os.environ.update(LORP_HOME=str(folder / f"home{workers}"))
                seconds[workers], found[workers] = _measure(checkpoint, options.windows)
    same = "equal" if found[1] == found[2] else "DIFFERENT"
    print("| figure | ratio | aim | measured |\n|---|---|---|---|")
    ratio = seconds[1] / seconds[2]
    print(f"| one worker / two | {ratio:.3g} | at least {AIM} | {seconds[1]:.1f} s / {seconds[2]:.1f} s |")
    print(f"digests of {len(found[1])} stages: {same}; load when it started: {load:.1f}")


def _checkpoint(scratch: Path) -> Path:
    """SmolLM2-135M-Instruct as safetensors in float32."""
    from flows.demo import demo_source
    from lorp.gguf import dequantise

    folder = scratch / "dense"
    folder.mkdir()
    dequantise(demo_source(), folder, "float32")
    return folder


def _measure(checkpoint: Path, num_windows: int) -> tuple[float, dict[str, dict[str, str]]]:
    """Seconds of the sweep, and the output digests of every stage."""
    from flows.sweep import SweepSpec, run_sweep
    from lorp.spec import CalibrationSpec, DownstreamSpec, EvaluationSpec, GenerationSpec, Recipe, SpeedSpec
    from tasks.vault import open_vault
    from tasks.workspace import make_home, workspace

    make_home()
    places = workspace()
    asked = SweepSpec(
        source=str(checkpoint),
        remove=(1, 2, 3),
        method=("shortgpt",),
        healing=("none",),
        recipe=Recipe(
            calibration=CalibrationSpec(num_windows=num_windows),
            evaluation=EvaluationSpec(num_windows=num_windows),
            tasks=DownstreamSpec(tasks=()),
            generation=GenerationSpec(num_prompts=0),
            speed=SpeedSpec(repeats=0),
        ),
    )
    begun = time.perf_counter()
    run_sweep(asked, places)
    seconds = time.perf_counter() - begun
    vault = open_vault(places.store)
    manifests = [vault.result(Path(key).stem) for key in vault.store.keys("stages")]
    return seconds, {
        made.key: {role: output.sha256 for role, output in made.outputs.items()} for made in manifests if made
    }


@contextmanager
def _prefect(folder: Path) -> Iterator[str]:
    """A Prefect server; the address of its API."""
    port = _free_port()
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "DO_NOT_TRACK": "1"}
    command = (BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    api = f"http://127.0.0.1:{port}/api"
    with _background(command, environment, folder / "prefect.log"):
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"{api}/health", timeout=2):
                    break
            except OSError:
                time.sleep(1)
        yield api


@contextmanager
def _dask(folder: Path, workers: int) -> Iterator[str]:
    """A scheduler with so many workers of one thread; its host and port."""
    from distributed import Client

    address = f"127.0.0.1:{_free_port()}"
    host, port = address.split(":")
    scheduler = (BIN / "dask", "scheduler", "--host", host, "--port", port, "--no-dashboard")
    worker = (
        BIN / "dask", "worker", f"tcp://{address}", "--host", host, "--nworkers", str(workers), "--nthreads", "1",
        "--memory-limit", "0", "--no-dashboard", "--local-directory", folder / f"dask{workers}",
    )  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        _background(scheduler, environment, folder / f"scheduler{workers}.log"),
        _background(worker, environment, folder / f"workers{workers}.log"),
    ):
        with Client(f"tcp://{address}", timeout=120) as client:
            client.wait_for_workers(workers, timeout=120)
        yield address


@contextmanager
def _background(command: tuple[object, ...], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
