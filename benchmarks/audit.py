"""How quick an audit is, beside `sha256sum` of the same files: `python benchmarks/audit.py [--rounds 5]`.

SmolLM2-135M-Instruct in float32 (538 MB) is recompressed once, 3 of its 30 blocks removed, into a store of its own; its
variant has 500 MB. Then an audit of that version without replay and `sha256sum` of every file that the audit reads are
timed in turn, in this run, on this machine. The ratio is of bytes a second, the median over rounds; the first round, in
which files come into the page cache, is not counted. The command's own start, mostly that of Python, is told apart.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from flows.demo import demo_source
from tasks.audit import AuditRequest, audit
from tasks.store import FolderStore

_OPTIONS = (
    "--remove=3", "--method=lorp", "--heal=none", "--name=audited", "--max-perplexity-ratio=1000", "--tasks=none",
    "--calibration-windows=8", "--evaluation-windows=32", "--window-tokens=64", "--generation-prompts=0",
    "--speed-rounds=0",
)  # fmt: skip
_TARGET = "audited@1"


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        os.environ["LORP_HOME"] = home
        _lorp("recompress", str(demo_source()), *_OPTIONS)
        store = Path(home) / "store"
        timed = [_round(store) for _ in range(rounds + 1)][1:]
        started = _seconds(lambda: _lorp("audit", _TARGET))
    ratio = median(theirs / ours for ours, theirs, _ in timed)
    ours, theirs, num_bytes = median(each[0] for each in timed), median(each[1] for each in timed), timed[0][2]
    print(f"bytes read, each once: {num_bytes / 1e6:.0f} MB")
    print(f"audit: {ours:.2f} s, sha256sum: {theirs:.2f} s, ratio of speeds: {ratio:.2f}")
    print(f"the whole command, its start included: {started:.1f} s")


def _round(store: Path) -> tuple[float, float, int]:
    """Seconds of the audit, seconds of sha256sum, bytes that both read."""
    start = time.monotonic()
    found = audit(FolderStore(store), AuditRequest(target=_TARGET))
    ours = time.monotonic() - start
    assert found.found.sound
    files = [store / key for key in found.objects.digests]
    assert sum(path.stat().st_size for path in files) == found.found.num_bytes
    theirs = _seconds(lambda: subprocess.run(["sha256sum", *files], stdout=subprocess.DEVNULL, check=True))
    return ours, theirs, found.found.num_bytes


def _lorp(*words: str) -> None:
    subprocess.run([str(Path(sys.executable).parent / "lorp"), *words], stdout=subprocess.DEVNULL, check=True)


def _seconds(act: object) -> float:
    start = time.monotonic()
    act()  # type: ignore[operator]
    return time.monotonic() - start


if __name__ == "__main__":
    main()
