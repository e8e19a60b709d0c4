"""Ledgers and aliases beside each other: what a crash left behind is mended, what others moved is told."""

from dataclasses import dataclass
from typing import Literal

from lorp.ledger import last_move, standing
from tasks.aliases import aliases, follow
from tasks.ledger import names, read_ledger
from tasks.vault import Vault
from tasks.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Found:
    """An alias that was not where the ledger says.

    Attributes:
        name: The registered model.
        alias: The alias.
        ledger: The version that it stands for by the ledger.
        registry: The one that it stood for in the registry; None for none.
        cause: `behind` if that is where it was before the ledger's last entry about it, so that a crash explains it;
            else `moved`.
        mended: Whether it is where the ledger says by now.
    """

    name: str
    alias: str
    ledger: int
    registry: int | None
    cause: Literal["behind", "moved"]
    mended: bool


def reconcile(places: Workspace, vault: Vault, restore: bool) -> tuple[Found, ...]:
    """Looks at every alias that a ledger speaks of.

    Args:
        places: Where the registry is.
        vault: Where the ledgers are.
        restore: Whether aliases that something else has moved are put back too.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
        IntegrityError: A ledger is broken.
    """
    return tuple(found for name in names(vault) for found in _of_name(places, vault, name, restore))


def _of_name(places: Workspace, vault: Vault, name: str, restore: bool) -> list[Found]:
    entries = read_ledger(vault, name)
    registered, now = aliases(places, name), standing(entries)
    found = []
    for alias in now.held:
        there, wanted, last = registered.get(alias), now.now(alias), last_move(entries, alias)
        if there == wanted or wanted is None or last is None:
            continue
        behind = there == standing(entries[: last.sequence - 1]).now(alias)
        mended = behind or restore
        if mended:
            follow(places, vault, name, alias)
        cause: Literal["behind", "moved"] = "behind" if behind else "moved"
        found.append(Found(name=name, alias=alias, ledger=wanted, registry=there, cause=cause, mended=mended))
    return found
