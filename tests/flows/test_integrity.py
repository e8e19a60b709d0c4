"""One byte of any stored object changed: the next run quarantines it, redoes its stage, and ends as before."""

import random
from pathlib import Path

from support import Lorp, manifests

from tasks.store import FolderStore

#: Times are not the same twice, and so would make another report; they have a test of their own.
OPTIONS = ("--max-perplexity-ratio=100", "--speed-rounds=0", "--heal=refit", "--heal-windows=8")


def stored(home: Path) -> dict[str, bytes]:
    store = FolderStore(home / "store")
    folders = ("checkpoints", "variants", "patches", "captures", "values", "stages")
    return {key: store.read(key) for folder in folders for key in store.keys(folder)}


def quarantined(home: Path) -> list[Path]:
    return [path for path in (home / "store" / "quarantine").glob("*/*") if path.name != "note.json"]


def test_a_changed_byte_anywhere_is_found_and_its_stage_redone(recompress: Lorp, home: Path) -> None:
    first = recompress(*OPTIONS).json
    objects = stored(home)
    rng = random.Random(0)
    for number, (key, data) in enumerate(objects.items(), start=1):
        position = rng.randrange(len(data))
        path = home / "store" / key
        path.write_bytes(data[:position] + bytes([data[position] ^ rng.randrange(1, 256)]) + data[position + 1 :])
        done = recompress(*OPTIONS)
        assert done.status == 0, f"{key}: {done.err}"
        assert key in done.err, f"{key} was not named"
        assert done.json["verdict"] == first["verdict"]
        assert done.json["model_version"] == 1
        bad = [entry for entry in quarantined(home) if entry.name == Path(key).name]
        assert any(entry.read_bytes() != data for entry in bad), f"{key} is not in quarantine after {number}"
    assert {key for key in objects if key.startswith(("checkpoints", "variants"))} <= set(stored(home))
    assert all(manifests(home).values())


def test_lost_objects_are_made_again(recompress: Lorp, home: Path) -> None:
    first = recompress(*OPTIONS).json
    keys = list(stored(home))
    for start in range(6):
        for key in keys[start::6]:
            (home / "store" / key).unlink(missing_ok=True)
        assert recompress(*OPTIONS).json["verdict"] == first["verdict"]


def test_changed_times_are_found_and_measured_again(recompress: Lorp, home: Path) -> None:
    first = recompress("--max-perplexity-ratio=100").json
    [timed] = [manifest for manifest in manifests(home).values() if manifest.stage == "speed"]
    path = home / "store" / timed.outputs["speed"].key
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    again = recompress("--max-perplexity-ratio=100")
    assert "speed: started" in again.err
    assert [entry.name for entry in quarantined(home) if entry.name == path.name]
    assert again.json["verdict"] == first["verdict"]
    assert again.json["model_version"] == 1
