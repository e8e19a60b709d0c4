"""Traces of use: a stage's result that is used again says so in the store, once a day, and so is not swept for its age.

`used/<stage key>/<YYYY-MM-DD>` is written once and empty. Younger results need none: they are kept for their own time.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from tasks.vault import Manifest, Vault

_KEY = re.compile(r"used/(?P<stage>[^/]+)/(?P<day>\d{4}-\d{2}-\d{2})")


def note_use(vault: Vault, manifest: Manifest) -> None:
    """Leaves a trace of a result's use today, unless it was made within a day.

    Raises:
        StoreError: The store refuses.
        OutageError: It does not answer.
    """
    now = datetime.now(UTC)
    if now - datetime.fromisoformat(manifest.created) >= timedelta(days=1):
        mark_used(vault, manifest.key, now.date())


def mark_used(vault: Vault, stage_key: str, day: date) -> None:
    """Writes the trace, once a process."""
    key = f"used/{stage_key}/{day.isoformat()}"
    if key not in vault.noted:
        vault.store.create(key, b"")
        vault.noted.add(key)


def used_since(keys: Iterable[str], day: date) -> set[str]:
    """Keys of the stages whose results were used on a day or later, by the traces among these keys of the store."""
    found = filter(None, map(_KEY.fullmatch, keys))
    return {match["stage"] for match in found if match["day"] >= day.isoformat()}
