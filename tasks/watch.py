"""A checkpoint that was seen -> whether it has arrived, and its digest; both are kept in the store."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from lorp.digest import canonical_json
from lorp.errors import InputError, IntegrityError, SourceError, StoreError, UnsafeCheckpointError
from lorp.spec import DType
from tasks.fetch import fetch_request
from tasks.sources.arrivals import Sighting, sightings
from tasks.stage import run_stage
from tasks.vault import Vault

Noted = TypeVar("Noted")


def is_settled(vault: Vault, sighting: Sighting, seconds: float) -> bool:
    """Whether the same was listed in an earlier look, so many seconds ago or more; notes this one if there was none.

    A look that is noted further ahead than that was made under a clock that was wrong, and so was an earlier one.
    """
    key, now = f"watch/{sighting.listing}/seen.json", datetime.now(UTC)
    if vault.store.fingerprint(key) is None:
        note = {"address": sighting.address, "first_seen": now.isoformat()}
        if vault.store.create(key, canonical_json(note)):
            return False
    first = _noted(vault, key, lambda note: datetime.fromisoformat(note["first_seen"]))
    return abs((now - first).total_seconds()) >= seconds


def arrived(vault: Vault, sighting: Sighting, dtype: DType, tracking_uri: str) -> str:
    """Digest of the checkpoint behind a sighting, which is brought into the store; what is listed alike is read once.

    Args:
        vault: Where it is brought.
        sighting: What was seen.
        dtype: What a GGUF file is dequantised to.
        tracking_uri: MLflow's, for registered versions.

    Raises:
        InputError: It cannot be used; what follows from its bytes is remembered, and not read again.
        IntegrityError: What is remembered cannot be read.
        LorpError: A fault, which may pass.
    """
    key = f"watch/{sighting.listing}/{dtype}.json"
    if vault.store.fingerprint(key) is None:
        vault.store.create(key, canonical_json(_read(vault, sighting, dtype, tracking_uri)))
    checkpoint, refusal = _noted(vault, key, _understood)
    if refusal:
        raise SourceError(*refusal)
    return checkpoint


def note_once(vault: Vault, run: str) -> bool:
    """Whether it is the first time that this is asked of a run."""
    return vault.store.create(f"watch/parked/{run}.json", b"{}")


def _understood(note: Any) -> tuple[str, tuple[str, str] | None]:
    """The checkpoint's digest, or why it was refused and what to do."""
    refused = "refused" in note
    return str("" if refused else note["checkpoint"]), (note["refused"], note["remedy"]) if refused else None


def _noted(vault: Vault, key: str, understand: Callable[[Any], Noted]) -> Noted:
    try:
        return understand(json.loads(vault.store.read(key)))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise IntegrityError(f"{key} in the store is damaged", "Remove it, and it is written anew") from None


def _read(vault: Vault, sighting: Sighting, dtype: DType, tracking_uri: str) -> dict[str, str]:
    address = sighting.address
    try:
        fetched = run_stage(vault, fetch_request(address, dtype, tracking_uri)).outputs["checkpoint"]
    except StoreError:  # a full disk, for one, is no fault of the checkpoint's: it would be refused for good
        raise
    except InputError as fault:
        if _may_pass(fault, address):
            raise
        _check_unchanged(sighting, tracking_uri)
        return {"refused": fault.reason, "remedy": fault.remedy}
    _check_unchanged(sighting, tracking_uri)
    return {"checkpoint": fetched.sha256}


def _may_pass(fault: InputError, address: str) -> bool:
    """Whether it may be the machine, its rights or the hub that refuses, and not the checkpoint's own bytes."""
    if isinstance(fault, UnsafeCheckpointError):
        return False
    chain: list[BaseException] = [fault]
    while after := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(after)
    return address.startswith("hf://") or any(isinstance(each, OSError) and each.errno is not None for each in chain)


def _check_unchanged(sighting: Sighting, tracking_uri: str) -> None:
    if sightings(sighting.address, tracking_uri) != [sighting]:
        raise SourceError(f"{sighting.address} changed while it was read", "It is looked at again the next time")
