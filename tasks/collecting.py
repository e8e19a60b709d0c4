"""A store and its registry -> what nothing reaches any more, and its removal."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice

from lorp.errors import IntegrityError
from lorp.progress import track
from tasks import keeping
from tasks.keeping import KINDS, Inventory, Plan, digests_in, own_digest, read_manifest
from tasks.roots import find_roots
from tasks.store.protocol import KEY, Stored
from tasks.usage import used_since
from tasks.vault import Vault
from tasks.workspace import Workspace

_AT_ONCE = 16
_BATCH = 500  # removed between two looks at what has come into use


def plan_collection(places: Workspace, vault: Vault, before: datetime) -> Plan:
    """Looks at everything; removes nothing.

    Args:
        places: Where the registry is.
        vault: The store.
        before: What was made, used and changed before may go.

    Raises:
        SpecError: The registry is not the one that the store's versions were registered with.
        RegistryError: It cannot be asked.
        IntegrityError: A ledger or a lineage record that has to stay cannot be read.
        OutageError: The store does not answer.
    """
    inventory = _inventory(vault)
    return keeping.plan(inventory, find_roots(places, vault, inventory, before), before)


def remove_unreached(vault: Vault, plan: Plan) -> dict[str, Stored]:
    """Removes what a plan lets go, but for what has come into use since; what was removed, by key.

    Manifests first: whatever interrupts this, no manifest stays that names what it has removed.

    Raises:
        StoreError: The store refuses.
        OutageError: It does not answer.
    """
    manifests = [key for key in plan.doomed if key.startswith("stages/")]
    others = [key for key in plan.doomed if not key.startswith("stages/")]
    removed: dict[str, Stored] = {}
    for batch in track(list(_batches(manifests)), "remove stages"):
        used = used_since(vault.store.keys("used"), plan.before.date())
        removed |= _remove(vault, plan, (key for key in batch if _stage_key(key) not in used))
    for batch in track(list(_batches(others)), "remove objects"):
        named = _named_now(vault, plan)
        removed |= _remove(vault, plan, (key for key in batch if own_digest(key) not in named))
    return removed


def _remove(vault: Vault, plan: Plan, keys: Iterable[str]) -> dict[str, Stored]:
    batch = list(keys)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        gone = list(pool.map(lambda key: vault.store.remove(key, plan.doomed[key].fingerprint), batch))
    return {key: plan.doomed[key] for key, one in zip(batch, gone, strict=True) if one}


def _named_now(vault: Vault, plan: Plan) -> set[str]:
    """What is named by manifests that are there now and were not meant to stay: spared ones and new ones."""
    named: set[str] = set()
    for key, fingerprint in vault.store.fingerprints("stages").items():
        as_planned = key in plan.kept and plan.stored[key].fingerprint == fingerprint
        if not as_planned and KEY.fullmatch(key):
            try:
                named |= digests_in(vault.store.read(key))
            except IntegrityError:  # moved to quarantine just now
                continue
    return named


def _inventory(vault: Vault) -> Inventory:
    """Listings come before manifests are read, so that all objects of those are in them or younger."""
    stored = {key: found for kind in KINDS for key, found in vault.store.listing(kind).items()}
    read = {key: read_manifest(data) for key, data in vault.store.read_all("stages").items() if key in stored}
    return Inventory(stored=stored, known={key: known for key, known in read.items() if known})


def _stage_key(key: str) -> str:
    return key.removeprefix("stages/").removesuffix(".json")


def _batches(keys: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while batch := list(islice(rest, _BATCH)):
        yield batch
