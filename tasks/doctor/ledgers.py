"""The ledgers -> whether every entry of every name is there and what was written."""

from collections.abc import Iterator

from lorp.errors import LorpError
from tasks.doctor.check import Finding, ok, refused
from tasks.ledger import names, read_ledger
from tasks.vault import Vault, vault_to_read
from tasks.workspace import Workspace

_NAME = "ledgers"


def look_at_ledgers(places: Workspace) -> Iterator[Finding]:
    """Reads every entry, and checks each chain."""
    vault = vault_to_read(places.store)
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
