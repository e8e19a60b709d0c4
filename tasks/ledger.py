"""A model name's ledger in the store: `ledger/<name>/<sequence>.json`, each entry written once and never again."""

import re
from collections.abc import Callable

from lorp.errors import IntegrityError, SpecError
from lorp.ledger import Change, Entry, Standing, next_entry, read_chain, standing
from lorp.spec import MODEL_NAME
from tasks.signing import ENTRY, sign
from tasks.store import ObjectStore
from tasks.vault import Vault

_FILE = re.compile(r"(?P<sequence>[0-9]{8})\.json")


def names(vault: Vault) -> list[str]:
    """Names that have a ledger, sorted.

    Raises:
        OutageError: The store does not answer.
    """
    found = {key.split("/")[1] for key in vault.store.keys("ledger") if key.count("/") == 2}
    return sorted(name for name in found if re.fullmatch(MODEL_NAME, name))


def read_ledger(vault: Vault, name: str) -> tuple[Entry, ...]:
    """All entries so far, every link of the chain checked; none for a name that was never used.

    Raises:
        SpecError: Nothing can have such a name.
        IntegrityError: An entry is missing, or is not what was written.
        OutageError: The store does not answer.
    """
    return read_chain(name, stored_entries(vault.store, name))


def stored_entries(store: ObjectStore, name: str) -> dict[int, bytes]:
    """The bytes of all entries that there are, by sequence.

    Raises:
        SpecError: Nothing can have such a name.
        OutageError: The store does not answer.
    """
    read = store.read_all(ledger_folder(name))
    return {sequence: data for key, data in read.items() if (sequence := sequence_of(name, key))}


def sequence_of(name: str, key: str) -> int | None:
    """The place of an entry by its key; None for what is no entry of this ledger."""
    match = _FILE.fullmatch(key.removeprefix(f"{ledger_folder(name)}/"))
    return int(match["sequence"]) or None if match else None


def entry_key(name: str, sequence: int) -> str:
    """Where an entry lies."""
    return f"{ledger_folder(name)}/{sequence:08d}.json"


def record(vault: Vault, name: str, decide: Callable[[Standing], Change | None]) -> Entry | None:
    """Writes the entry of what is decided, given how things stand; None if there is nothing to write.

    If someone else writes an entry meanwhile it is decided anew, so what an entry rests on is what stands before it.

    Args:
        vault: Where.
        name: The registered model's.
        decide: May be asked several times; what it raises ends it, with nothing written.

    Raises:
        SpecError: Nothing can have such a name.
        IntegrityError: The ledger is broken.
        OutageError: The store does not answer.
    """
    last = -1
    while True:
        entries = read_ledger(vault, name)
        if len(entries) == last:  # what is in the way of the next one is no entry
            raise IntegrityError(
                f"{entry_key(name, last + 1)} is neither free nor readable", "Look at what lies there in the store"
            )
        last = len(entries)
        change = decide(standing(entries))
        if change is None:
            return None
        entry = next_entry(name, entries, change)
        signature = sign(vault.store, entry.data, ENTRY)
        if vault.store.create(entry_key(name, entry.sequence), entry.data, lock=True):
            return entry
        if signature:  # of what never came to be an entry
            vault.store.remove(signature, vault.store.fingerprint(signature))


def ledger_folder(name: str) -> str:
    """Where a ledger lies.

    Raises:
        SpecError: Nothing can have such a name.
    """
    if not re.fullmatch(MODEL_NAME, name):
        raise SpecError(f"{name} is no model's name", "Give letters, digits, dots, dashes and underscores, 100 at most")
    return f"ledger/{name}"
