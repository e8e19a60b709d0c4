"""Ledgers and aliases beside each other: what a crash left behind is mended, what others moved is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lorp.errors import LorpError
from lorp.ledger import Entry, standing
from tasks.aliases import aliases, follow, left_behind
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


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What was found at all names.

    Attributes:
        found: Aliases that were not where the ledgers say.
        faults: Why a name could not be looked at, by name.
    """

    found: tuple[Found, ...]
    faults: dict[str, str]

    @property
    def fine(self) -> bool:
        """Whether all aliases are where the ledgers say by now."""
        return not self.faults and all(entry.mended for entry in self.found)


def reconcile(places: Workspace, vault: Vault, restore: bool) -> Reconciled:
    """Looks at every alias that a ledger speaks of; a name that cannot be looked at does not hide the others.

    Args:
        places: Where the registry is.
        vault: Where the ledgers are.
        restore: Whether aliases that something else has moved are put back too.

    Raises:
        OutageError: The store does not answer.
    """
    found: list[Found] = []
    faults: dict[str, str] = {}
    for name in names(vault):
        try:
            found += _of_name(places, vault, name, restore)
        except LorpError as fault:
            faults[name] = fault.reason
    return Reconciled(found=tuple(found), faults=faults)


def strayed(places: Workspace, vault: Vault, name: str) -> list[Found]:
    """Aliases of a name that are not where its ledger says; changes nothing.

    Raises:
        LorpError: The name cannot be looked at.
    """
    found = _look(places, vault, name)
    if any(entry.cause == "moved" for entry in found):  # by a promotion that was under way, perhaps
        again = _look(places, vault, name)
        found = [entry for entry in found if entry in again]
    return found


def _of_name(places: Workspace, vault: Vault, name: str, restore: bool) -> list[Found]:
    found = [replace(entry, mended=restore or entry.cause == "behind") for entry in strayed(places, vault, name)]
    for entry in found:
        if entry.mended:
            follow(places, vault, name, entry.alias)
    return found


def _look(places: Workspace, vault: Vault, name: str) -> list[Found]:
    """The registry is asked first, since it follows."""
    registered = aliases(places, name)
    return elsewhere(name, read_ledger(vault, name), registered)


def elsewhere(name: str, entries: Sequence[Entry], registered: Mapping[str, int]) -> list[Found]:
    """Aliases that are not where the ledger says; none of them mended.

    Args:
        name: The registered model.
        entries: Its ledger.
        registered: What each alias stands for in the registry.
    """
    return [
        Found(
            name=name,
            alias=alias,
            ledger=held[-1],
            registry=registered.get(alias),
            cause="behind" if left_behind(entries, registered, alias) else "moved",
            mended=False,
        )
        for alias, held in standing(entries).held.items()
        if registered.get(alias) != held[-1]
    ]
