"""Heads of ledgers, kept elsewhere: by them a ledger that was cut short or written anew is found."""

from collections.abc import Mapping
from dataclasses import dataclass

from lorp.errors import IntegrityError, SpecError
from lorp.ledger import Sha256
from lorp.values import decode

SCHEMA = "lorp.heads/1"


@dataclass(frozen=True, kw_only=True)
class Head:
    """The last entry of a ledger.

    Attributes:
        name: The registered model.
        sequence: The entry's place.
        sha256: Of its bytes.
    """

    name: str
    sequence: int
    sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Of all ledgers of a store, or of some.

    Attributes:
        schema: Of this record.
        time: When they were taken, UTC, ISO 8601.
        heads: By name.
    """

    schema: str = SCHEMA
    time: str
    heads: tuple[Head, ...]


def read_heads(data: bytes) -> Heads:
    """What was exported.

    Raises:
        SpecError: It is something else.
    """
    try:
        found = decode(Heads, data)
    except IntegrityError as fault:
        raise SpecError(f"these are no heads of ledgers: {fault.reason}", "Give what lorp ledger head wrote") from None
    if found.schema != SCHEMA:
        raise SpecError(f"these are heads of another kind: {found.schema}", f"Give heads of {SCHEMA}")
    return found


def head_fault(head: Head, digests: Mapping[int, str]) -> str | None:
    """What a ledger does not have any more that it had when a head was taken.

    Args:
        head: As it was.
        digests: sha256 of the entries that there are now, by sequence.
    """
    now = max(digests, default=0)
    if now < head.sequence:
        return f"it had {head.sequence} entries, and has {now}: its end was cut off"
    if digests.get(head.sequence) != head.sha256:
        return f"entry {head.sequence} is not the one that it had: it was written anew"
    return None
