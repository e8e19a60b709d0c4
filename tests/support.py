"""What tests of flows share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.store import FolderStore
from tasks.vault import Manifest, Vault

PICO_OPTIONS = (
    "--calibration-windows=16", "--evaluation-windows=40", "--window-tokens=32", "--limit=30", "--generation-tokens=8",
    "--speed-rounds=5", "--speed-tokens=32", "--method=lorp", "--heal=none",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


def window_ids(value: Any) -> list[str]:
    """Ids of all windows in a stored value, whatever their use."""
    if isinstance(value, dict):
        return [value["id"]] if "tokens" in value else [each for part in value.values() for each in window_ids(part)]
    return [each for part in value for each in window_ids(part)] if isinstance(value, list) else []


Lorp = Callable[..., Result]


def manifests(home: Path) -> dict[str, Manifest]:
    """Every stage's manifest in a home's store, by key."""
    vault = Vault(FolderStore(home / "store"))
    keys = [Path(key).stem for key in vault.store.keys("stages")]
    return {key: manifest for key in keys if (manifest := vault.result(key))}
