"""Stores and ledgers of many objects, made in bulk, and what commands on them take."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lorp.digest import FileDigest, canonical_json, digest_bytes, digest_listing, digest_value

#: Made and changed so long ago that nothing keeps it.
_LONG_AGO = "2020-01-01T00:00:00+00:00"
_OBJECTS_A_STAGE = 6


def measured(act: Callable[[], Any]) -> dict[str, float]:
    """Seconds on the clock and of this process's own, and how much memory it took on top of what it had, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    before, clock, own = _memory(), time.monotonic(), time.process_time()
    act()
    seconds, cpu = time.monotonic() - clock, time.process_time() - own
    return {"seconds": seconds, "cpu": cpu, "memory": _memory() - before}


def _memory() -> float:
    """The most that this process has had since that was reset, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


def fill_store(number: int) -> None:
    """Adds so many objects to the store: manifests, each with values, a folder of two files, and a trace of its use."""
    from tasks.vault import Manifest, Reference, open_vault
    from tasks.workspace import workspace

    os.fsync = lambda _: None  # ten thousand of them take minutes, and nothing is to outlast this
    vault = open_vault(workspace().store)

    def stage(index: int) -> None:
        values = [canonical_json({"stage": index, "value": value, "numbers": list(range(20))}) for value in range(2)]
        outputs = {f"value{place}": vault.put("values", data, ".json") for place, data in enumerate(values)}
        weights = {name: f"{name} of {index}".encode() * 50 for name in ("config.json", "model.safetensors")}
        files = tuple(
            FileDigest(name=name, sha256=digest_bytes(data), bytes=len(data)) for name, data in sorted(weights.items())
        )
        folder = f"variants/{digest_listing(files)}"
        for file in files:
            vault.store.create(f"{folder}/{file.name}", weights[file.name])
        outputs["variant"] = Reference(
            key=folder, sha256=digest_listing(files), bytes=sum(file.bytes for file in files), files=files
        )
        inputs = {"index": index}
        key = f"load-v1-{digest_value(inputs)}"
        made = {"stage": "load", "key": key, "inputs": inputs, "outputs": outputs, "versions": {}, "created": _LONG_AGO}
        vault.commit(Manifest(**made, seconds=1.0))
        vault.store.create(f"used/{key}/2020-01-01", b"")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(stage, range(number // _OBJECTS_A_STAGE)))


def store_costs() -> dict[str, dict[str, float]]:
    """What each command takes on the store; the last of them removes all that was added."""
    from flows import status
    from tasks.audit import AuditRequest, audit
    from tasks.collecting import plan_collection, remove_unreached
    from tasks.vault import vault_to_read
    from tasks.workspace import workspace

    places = workspace()
    vault = vault_to_read(places.store)
    assert vault
    before = datetime.now(UTC) + timedelta(days=2)
    costs = {"status": measured(lambda: status._look(places, None, 5))}

    def check() -> None:
        found = audit(vault.store, AuditRequest(target=None, places=places)).found
        assert found.sound, found.faults[:3]

    costs["audit"] = measured(check)
    plans: list[Any] = []
    costs["gc"] = measured(lambda: plans.append(plan_collection(places, vault, before)))
    costs["gc delete"] = measured(lambda: remove_unreached(vault, plans[0]))
    assert not vault.store.keys("variants")
    return costs


def fill_ledger(name: str, number: int) -> None:
    """Goes on with a ledger that holds a promotion of 1, of 2 and of 1 again, by real entries, up to so many."""
    from lorp.ledger import next_entry, standing
    from tasks.ledger import entry_key, read_ledger
    from tasks.vault import open_vault
    from tasks.workspace import workspace

    vault = open_vault(workspace().store)
    root = Path(workspace().store)
    entries = list(read_ledger(vault, name))
    two, one = [entry.change for entry in entries if entry.change.act == "promoted"][1:3]
    now = standing(entries)
    while len(entries) < number:
        if len(entries) % 10 == 9:
            back = now.before("production")
            known = two if back == 2 else one
            change = replace(known, act="rolled-back", decision=None)
        else:
            change = two if now.now("production") == 1 else one
        entry = next_entry(name, entries, replace(change, flow_run=f"run-{len(entries)}"))
        now.play(entry.change)
        entries.append(entry)
        (root / entry_key(name, entry.sequence)).write_bytes(entry.data)


def ledger_costs(name: str) -> dict[str, dict[str, float]]:
    """What each command takes on a long ledger."""
    import jobs

    from flows import status
    from tasks.aliases import aliases, follow
    from tasks.audit import AuditRequest, audit
    from tasks.ledger import read_ledger
    from tasks.vault import open_vault
    from tasks.workspace import workspace

    places, vault = workspace(), open_vault(workspace().store)
    follow(places, vault, name, "production")
    costs = {"read": measured(lambda: read_ledger(vault, name))}
    costs["status"] = measured(lambda: status._look(places, None, 5))

    def check() -> None:
        found = audit(vault.store, AuditRequest(target=None, places=places)).found
        assert found.sound, found.faults[:3]

    costs["audit"] = measured(check)
    other = 3 - aliases(places, name)["production"]
    costs["promote"] = measured(lambda: jobs.promote(name, other))
    costs["roll back"] = measured(lambda: jobs.roll_back(name))
    assert aliases(places, name)["production"] == 3 - other
    return costs


def watch_costs(folder: str, number: int) -> dict[str, dict[str, float]]:
    """What a look at so many checkpoints takes, all of which were recompressed long ago."""
    import flows.watch
    from flows.watch import Watcher, WatchSpec
    from tasks.workspace import workspace

    os.fsync = lambda _: None
    asked: list[int] = []

    class Done:
        """A run that is over."""

        id = "00000000-0000-0000-0000-000000000000"

        class state:
            message, name = "done", "Approved"
            is_final = is_completed = staticmethod(lambda: True)

    def runs(keys: list[str]) -> dict[str, Any]:
        asked.append(len(keys))
        return dict.fromkeys(keys[:: spec.max_attempts], Done)

    flows.watch._runs = runs
    spec = WatchSpec(sources=(folder,), settle_seconds=0)
    watcher = Watcher(asked=spec, places=workspace())

    def look(standing: str) -> None:
        found = [each.standing for each in watcher.looks(folder)]
        assert found == [standing] * number, found[:3]

    look("arriving")
    costs = {"first look": measured(lambda: look("done"))}
    del asked[:]
    costs["look"] = measured(lambda: look("done"))
    assert len(asked) == 1, "the server is asked once a look, and not once a checkpoint"
    return costs
