"""What an audit was asked about -> ledgers and the runs in them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lorp.errors import SpecError
from lorp.ledger import Change
from lorp.spec import MODEL_NAME
from tasks.aliases import aliases
from tasks.audit.ledgers import AuditedLedger, see_ledger
from tasks.audit.objects import Objects
from tasks.pull import VERSION_ADDRESS
from tasks.tracking import CANDIDATE
from tasks.workspace import Workspace

_VARIANT = re.compile(r"(?:[a-z0-9]+://.*variants/|.*/variants/|variants/)?(?P<digest>[0-9a-f]{64})/?")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A ledger, and the entries whose runs are looked at.

    Attributes:
        ledger: The ledger.
        changes: Registrations and rejections.
    """

    ledger: AuditedLedger
    changes: tuple[Change, ...]


def all_names(objects: Objects) -> list[str]:
    """Names that have a ledger, sorted."""
    found = {key.split("/")[1] for key in objects.listed("ledger") if key.count("/") == 2}
    return sorted(name for name in found if re.fullmatch(MODEL_NAME, name))


def resolve(objects: Objects, target: str | None, places: Workspace | None = None) -> list[Asked]:
    """Finds what is meant.

    Args:
        objects: The store.
        target: `NAME@alias`, `NAME@3`, `NAME`, a variant's address, its digest or a record's; None for everything.
        places: Where the registry is that knows the candidate, if there is one.

    Raises:
        SpecError: There is no such thing.
    """
    if target is None:
        return [_whole(see_ledger(objects, name)) for name in all_names(objects)]
    version, variant = VERSION_ADDRESS.fullmatch(target), _VARIANT.fullmatch(target)
    if version:
        ledger = _ledger(objects, version["name"])
        return [Asked(ledger=ledger, changes=(_meant(ledger, version["version"], version["alias"], places),))]
    if variant:
        return _of_variant(objects, variant["digest"])
    if re.fullmatch(MODEL_NAME, target):
        return [_whole(_ledger(objects, target))]
    raise SpecError(
        f"{target} is nothing that can be audited", "Give NAME@production, NAME@3, NAME, a variant's address, or --all"
    )


def made_changes(ledger: AuditedLedger) -> Sequence[Change]:
    """Registrations and rejections of a ledger."""
    return (*ledger.now.versions.values(), *ledger.now.rejections.values())


def _whole(ledger: AuditedLedger) -> Asked:
    return Asked(ledger=ledger, changes=tuple(made_changes(ledger)))


def _ledger(objects: Objects, name: str) -> AuditedLedger:
    ledger = see_ledger(objects, name)
    if not ledger.stored:
        raise no_ledger(name, all_names(objects))
    return ledger


def no_ledger(name: str, known: Sequence[str]) -> SpecError:
    """Says that there is no such ledger."""
    return SpecError(
        f"there is no ledger of {name}, but: {', '.join(known) or 'none'}", "Look at the name, and at --store"
    )


def _meant(ledger: AuditedLedger, version: str | None, alias: str | None, places: Workspace | None) -> Change:
    now = ledger.now
    number = int(version) if version else now.now(str(alias))
    if alias == CANDIDATE:
        number = aliases(places, ledger.name).get(CANDIDATE) if places else max(now.versions, default=None)
    if number is None:
        raise SpecError(f"no version of {ledger.name} is in {alias}", f"In use: {', '.join(now.held) or 'no alias'}")
    if number not in now.versions:
        known = ", ".join(map(str, now.versions)) or "none"
        raise SpecError(f"the ledger of {ledger.name} has no version {number}, but: {known}", "Look at its number")
    return now.versions[number]


def _of_variant(objects: Objects, digest: str) -> list[Asked]:
    found = []
    for name in all_names(objects):
        ledger = see_ledger(objects, name)
        changes = tuple(change for change in made_changes(ledger) if digest in (change.variant, change.lineage))
        if changes:
            found.append(Asked(ledger=ledger, changes=changes))
    if not found:
        raise SpecError(
            f"no ledger of this store has a variant or record {digest}", "Look at the digest, and at --store"
        )
    return found
