"""Signatures of what was signed, held against keys that are trusted."""

from collections.abc import Mapping, Sequence

from securesystemslib.signer import Key

from tasks.audit.findings import Fault, Step, judged, not_done
from tasks.audit.objects import Objects
from tasks.signing import folder_of, signature_fault


def signed_step(about: str, payloads: Mapping[str, bytes], kind: str, objects: Objects, keys: Sequence[Key]) -> Step:
    """Whether each of several things is signed by a trusted key.

    Args:
        about: Whose they are.
        payloads: Their bytes, by key in the store.
        kind: Their payload type.
        objects: The store.
        keys: The trusted keys; without any, signatures are counted and not looked into.
    """
    signed = {key: _envelopes(objects, payload) for key, payload in payloads.items()}
    count = f"{sum(map(bool, signed.values()))} of {len(signed)} signed"
    if not keys:
        return not_done(about, "signatures", f"{count}; --trusted-key says by whom they have to be")
    faults = [fault for key in payloads if (fault := _fault(key, payloads[key], kind, signed[key], keys))]
    return judged(about, "signatures", faults, f"{count} by a trusted key")


def _envelopes(objects: Objects, payload: bytes) -> dict[str, bytes]:
    found = {key: objects.raw(key) for key in objects.below(folder_of(payload))}
    return {key: data for key, data in found.items() if data is not None}


def _fault(key: str, payload: bytes, kind: str, envelopes: Mapping[str, bytes], keys: Sequence[Key]) -> Fault | None:
    if not envelopes:
        return Fault(object=key, reason="it is not signed")
    faults = {name: signature_fault(payload, kind, data, keys) for name, data in envelopes.items()}
    if None in faults.values():
        return None
    name, reason = next(iter(faults.items()))
    return Fault(object=name, reason=str(reason))
