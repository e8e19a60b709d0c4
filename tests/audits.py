"""A home with a ledger to audit, and ways to spoil what lies in its store."""

import json
import random
import re
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


Stages = list[dict[str, Any]]
Put = Callable[[Any], dict[str, Any]]


def reforged(store: Path, lineage: str, change: Callable[[dict[str, Any], Stages, Put, dict[str, str]], None]) -> None:
    """Rewrites a run as who can write the store may: every seal, digest, key and link of it is sound afterwards.

    Args:
        store: The store's folder.
        lineage: sha256 of the run's record.
        change: Changes the record and its stages; stores values with its third argument, and notes in its fourth by
            which other digest something goes from now on.
    """
    record = json.loads((store / "values" / f"{lineage}.json").read_bytes())
    inside = record["predicate"]["buildDefinition"]["internalParameters"]
    renamed: dict[str, str] = {}
    change(record, inside["stages"], lambda value: _put(store, value), renamed)
    for stage in inside["stages"]:
        stage["inputs"] = _renamed(stage["inputs"], renamed)
        name, _, old = stage["key"].rpartition("-")
        renamed[old] = digest_value(stage["inputs"])
        stage["key"] = f"{name}-{renamed[old]}"
        _seal(store / "stages" / f"{stage['key']}.json", "manifest", stage)
    forged = _put(store, _renamed(record, renamed))["sha256"]
    renamed[lineage] = forged
    for path in store.glob("stages/register-*.json"):
        manifest = json.loads(path.read_bytes())["manifest"]
        if manifest["outputs"]["lineage"]["sha256"] == lineage:
            path.unlink()
            manifest = _renamed(manifest, renamed)
            manifest["key"] = f"{manifest['key'].rpartition('-')[0]}-{digest_value(manifest['inputs'])}"
            _seal(store / "stages" / f"{manifest['key']}.json", "manifest", manifest)
    for folder in (store / "ledger").iterdir():
        rewritten(folder, lambda entry: entry.update(_renamed(entry, renamed)))


def _put(store: Path, value: Any) -> dict[str, Any]:
    data = canonical_json(value)
    key = f"values/{digest_bytes(data)}.json"
    (store / key).write_bytes(data)
    return {"key": key, "sha256": digest_bytes(data), "bytes": len(data), "files": []}


def _seal(path: Path, inside: str, value: Any) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(canonical_json({inside: value, "sha256": digest_value(value)}))


def _renamed(value: Any, renamed: dict[str, str]) -> Any:
    text = json.dumps(value)
    return json.loads(re.sub(r"[0-9a-f]{64}", lambda found: renamed.get(found[0], found[0]), text))
