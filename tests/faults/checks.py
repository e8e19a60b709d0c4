"""What must hold of a workspace when all is over; to be called in a process of its own, whose caches are empty."""

from collections import Counter
from typing import Any

from mlflow import MlflowClient

from lorp.ledger import standing
from tasks.aliases import aliases
from tasks.audit import AuditRequest, audit
from tasks.audit.objects import Objects
from tasks.audit.whole import UNFINISHED, store_step
from tasks.ledger import names, read_ledger
from tasks.signing import signing_key
from tasks.store import open_store
from tasks.vault import open_vault
from tasks.workspace import workspace

#: Stages whose results hold times or ids.
_NEVER_THE_SAME = ("speed", "register")


def check_objects() -> None:
    """Every object that anything rests on is whole, whatever was interrupted.

    Raises:
        AssertionError: One is not.
    """
    objects = Objects(open_store(workspace().store))
    if objects.listed("stages"):
        faults = [fault for fault in store_step(objects).faults if fault.reason != UNFINISHED]
        assert not faults


def state() -> dict[str, Any]:
    """What store and registry hold, as far as it is the same however often it is made.

    Raises:
        AssertionError: It is not whole, or not sound.
    """
    places = workspace()
    vault = open_vault(places.store)
    key = signing_key()
    trusted = (key.public_key,) if key else ()
    found = audit(vault.store, AuditRequest(target=None, places=places, trusted=trusted)).found
    assert found.sound, found.faults
    assert not vault.store.keys("quarantine")
    digests = {}
    for key in vault.store.keys("stages"):
        manifest = vault.result(key.removeprefix("stages/").removesuffix(".json"))
        assert manifest, f"{key} is broken"
        if manifest.stage not in _NEVER_THE_SAME:
            digests[manifest.key] = {role: output.sha256 for role, output in manifest.outputs.items()}
    client = MlflowClient(tracking_uri=places.tracking_uri)
    models = {}
    for name in names(vault):
        entries = read_ledger(vault, name)
        versions = client.search_model_versions(f"name = '{name}'")
        verdicts = Counter(version.tags["lorp.verdict"] for version in versions)
        assert set(verdicts.values()) <= {1}, f"{name} has two versions of one verdict"
        alias = aliases(places, name)
        assert standing(entries).now("production") == alias.get("production")
        models[name] = {
            "entries": [[entry.change.act, entry.change.version, entry.change.verdict] for entry in entries],
            "versions": sorted([version.version, version.tags["lorp.verdict"]] for version in versions),
            "aliases": alias,
        }
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert all(run.info.status == "FINISHED" for run in runs)
    return {"digests": digests, "models": models, "runs": len(runs)}
