"""One byte of any stored object changed: the next run quarantines it, redoes its stage, and ends as before."""

import random
from pathlib import Path

from support import Lorp, manifests

from tasks.store import FolderStore

LOOSE = "--max-perplexity-ratio=100"


def stored(home: Path) -> dict[str, bytes]:
    store = FolderStore(home / "store")
    folders = ("checkpoints", "variants", "captures", "values", "stages")
    return {key: store.read(key) for folder in folders for key in store.keys(folder)}


def quarantined(home: Path) -> list[Path]:
    return [path for path in (home / "store" / "quarantine").glob("*/*") if path.name != "note.json"]


def test_a_changed_byte_anywhere_is_found_and_its_stage_redone(recompress: Lorp, home: Path) -> None:
    first = recompress(LOOSE).json
    objects = stored(home)
    rng = random.Random(0)
    for number, (key, data) in enumerate(objects.items(), start=1):
        position = rng.randrange(len(data))
        path = home / "store" / key
        path.write_bytes(data[:position] + bytes([data[position] ^ rng.randrange(1, 256)]) + data[position + 1 :])
        done = recompress(LOOSE)
        assert done.status == 0, f"{key}: {done.err}"
        assert key in done.err, f"{key} was not named"
        assert done.json["verdict"] == first["verdict"]
        assert done.json["model_version"] == 1
        bad = [entry for entry in quarantined(home) if entry.name == Path(key).name]
        assert any(entry.read_bytes() != data for entry in bad), f"{key} is not in quarantine after {number}"
    assert {key for key in objects if key.startswith(("checkpoints", "variants"))} <= set(stored(home))
    assert all(manifests(home).values())


def test_a_lost_object_is_made_again(recompress: Lorp, home: Path) -> None:
    first = recompress(LOOSE).json
    for key in stored(home):
        (home / "store" / key).unlink(missing_ok=True)
        assert recompress(LOOSE).json["verdict"] == first["verdict"]
