"""The ledgers -> whether every entry of every name is there and what was written."""

from collections.abc import Iterator

from lorp.errors import LorpError
from tasks.doctor.check import Finding, ok, refused
from tasks.ledger import names, read_ledger
from tasks.store import store_folder
from tasks.vault import Vault, open_vault
from tasks.workspace import Workspace

_NAME = "ledgers"


def look_at_ledgers(places: Workspace) -> Iterator[Finding]:
    """Reads every entry, and checks each chain."""
    vault = standing_vault(places)
    found = names(vault) if vault else []
    amiss = [finding for name in found if vault for finding in broken(vault, name)]
    yield from amiss
    if not amiss:
        yield ok(_NAME, f"{len(found)}, every link of their chains intact" if found else "none yet")


def broken(vault: Vault, name: str) -> Iterator[Finding]:
    """A fault if a name's ledger is not what was written."""
    try:
        read_ledger(vault, name)
    except LorpError as error:
        yield refused(_NAME, error)


def standing_vault(places: Workspace) -> Vault | None:
    """The vault; None where there is no store yet, since opening it would make it."""
    folder = store_folder(places.store)
    return open_vault(places.store) if folder is None or folder.expanduser().exists() else None
