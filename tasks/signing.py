"""Signatures of lineage records and ledger entries: DSSE envelopes, beside what they sign.

`signatures/<sha256 of what is signed>/<key id>.json`. A record is signed before its ledger names it, and an entry
before it is written, so that none is without; the signature of an entry that lost a race is removed.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SigningError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from lorp.digest import canonical_json, digest_bytes
from lorp.errors import SpecError
from tasks.settings import settings
from tasks.store import ObjectStore

#: Payload types, as DSSE has them.
STATEMENT = "application/vnd.in-toto+json"
ENTRY = "application/vnd.lorp.ledger+json"

FOLDER = "signatures"


def signing_key() -> CryptoSigner | None:
    """The key of this installation, if it has one.

    Raises:
        SpecError: It cannot be used.
    """
    path = settings().signing_key
    if path is None:
        return None
    try:
        return CryptoSigner(load_pem_private_key(_content(path), None))
    except (ValueError, TypeError, UnsupportedAlgorithm, SigningError) as fault:
        raise SpecError(
            f"the signing key {path} cannot be used: {fault}", "Give an Ed25519, ECDSA or RSA key, PEM, not encrypted"
        ) from None


def trusted_key(path: Path) -> Key:
    """A public key to hold signatures against.

    Raises:
        SpecError: It is none.
    """
    try:
        return SSlibKey.from_crypto(load_pem_public_key(_content(path)))
    except (ValueError, TypeError, UnsupportedAlgorithm, SigningError) as fault:
        raise SpecError(f"{path} is no public key: {fault}", "Give an Ed25519, ECDSA or RSA key, PEM") from None


def sign(store: ObjectStore, payload: bytes, kind: str) -> str | None:
    """Signs, if this installation has a key, and has not signed it before; the key of the signature that is new.

    Args:
        store: Where the signature goes.
        payload: What is signed.
        kind: Its payload type.

    Raises:
        SpecError: The key cannot be used.
        StoreError: The store refuses.
        OutageError: It does not answer.
    """
    key = signing_key()
    if key is None:
        return None
    envelope = Envelope(payload, kind, {})
    envelope.sign(key)
    name = f"{folder_of(payload)}/{key.public_key.keyid}.json"
    return name if store.create(name, canonical_json(envelope.to_dict())) else None


def folder_of(payload: bytes) -> str:
    """Where the signatures of something lie."""
    return f"{FOLDER}/{digest_bytes(payload)}"


def signature_fault(payload: bytes, kind: str, envelope: bytes, keys: Sequence[Key]) -> str | None:
    """Why a stored envelope is no signature of something by any of these keys; None if it is one."""
    try:
        found = Envelope.from_dict(json.loads(envelope))
        if (found.payload, found.payload_type) != (payload, kind):
            return "it is the signature of something else"
        found.verify(list(keys), 1)
    except (SigningError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        return f"it is no signature by a trusted key: {fault}"
    return None


def _content(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as fault:
        raise SpecError(f"the key {path} cannot be read: {fault.strerror}", "Look at its path") from None
