"""A home with a ledger to audit, and ways to spoil what lies in its store."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from lorp.digest import canonical_json, digest_bytes, digest_value

#: Small, and with everything in it: plans are compared by what they cost, and blocks are healed.
OPTIONS = (
    "--calibration-windows=16", "--evaluation-windows=40", "--window-tokens=32", "--limit=30", "--generation-tokens=8",
    "--speed-rounds=0", "--method=lorp,shortgpt", "--heal=linear", "--name=pico", "--json",
)  # fmt: skip

#: What an audit has to notice a change in, by where it lies.
KINDS = {
    "weights": "variants/*/*.safetensors",
    "source": "checkpoints/*/*.safetensors",
    "patch": "patches/*/*.safetensors",
    "parquet": "captures/*/*.parquet",
    "values": "values/*.json",
    "pages": "values/*.html",
    "card": "values/*.md",
    "manifest": "stages/*.json",
    "ledger": "ledger/*/*.json",
    "config": "variants/*/*.json",
}


def make_home(pico: Path) -> dict[str, Any]:
    """Fills the home that is set: two versions, one of them in production, and a rejected run; what they came to."""
    outcomes = {
        "first": said("recompress", pico, "--remove=2", "--max-perplexity-ratio=100", *OPTIONS),
        "rejected": said("recompress", pico, "--remove=3", "--max-perplexity-ratio=0.5", *OPTIONS),
        "second": said("recompress", pico, "--remove=1", "--max-perplexity-ratio=100", *OPTIONS),
    }
    said("promote", "pico", "--version=2", "--reason=first", "--by=ada", "--json")
    said("promote", "pico", "--version=1", "--by=ada", "--json")
    said("rollback", "pico", "--by=grace", "--reason=slower", "--json")
    return outcomes


def said(*words: object) -> dict[str, Any]:
    """What a command says in JSON."""
    from flows.cli import run

    out = StringIO()
    with redirect_stdout(out):
        assert run([str(word) for word in words]) in (0, 3)
    value: dict[str, Any] = json.loads(out.getvalue())
    return value


@dataclass(frozen=True, kw_only=True)
class Spoiler:
    """Changes files of a store, and puts them back."""

    store: Path

    def files(self, kind: str) -> list[Path]:
        """All of a kind, sorted."""
        return sorted(self.store.glob(KINDS[kind]))

    def key(self, path: Path) -> str:
        """In the store."""
        return str(path.relative_to(self.store))

    @contextmanager
    def flipped(self, paths: list[Path], draw: random.Random) -> Iterator[None]:
        """One byte of each is another."""
        with self.put_back(paths):
            for path in paths:
                data = bytearray(path.read_bytes())
                data[draw.randrange(len(data))] ^= draw.randrange(1, 256)
                overwrite(path, bytes(data))
            yield

    @contextmanager
    def put_back(self, paths: list[Path]) -> Iterator[None]:
        """Whatever is done to these is undone at the end."""
        before = {path: path.read_bytes() for path in paths}
        try:
            yield
        finally:
            for path, data in before.items():
                overwrite(path, data)


def overwrite(path: Path, data: bytes) -> None:
    """Puts other bytes in a file's place."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Writes a ledger anew with another history, every seal and link of it sound."""
    before = None
    for path in sorted(folder.glob("*.json")):
        entry = json.loads(path.read_bytes())["entry"]
        change(entry)
        entry["before"] = before
        data = canonical_json({"entry": entry, "sha256": digest_value(entry)})
        overwrite(path, data)
        before = digest_bytes(data)


def copied(home: Path, to: Path) -> Path:
    """A copy of a home."""
    return Path(shutil.copytree(home, to))
