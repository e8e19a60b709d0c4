"""A checkpoint that was seen -> whether it has arrived, and its digest; both are kept in the store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from lorp.digest import canonical_json
from lorp.errors import SourceError
from lorp.spec import DType
from tasks.fetch import fetch_request
from tasks.sources.arrivals import Sighting, sightings
from tasks.stage import Outputs, Request, run_stage
from tasks.vault import Vault


@dataclass(frozen=True, kw_only=True)
class Arrive(Request):
    """The checkpoint behind a sighting, brought into the store; as long as it does not change it is read once."""

    STAGE: ClassVar[str] = "arrive"
    VERSION: ClassVar[int] = 1
    sighting: Sighting
    weights_dtype: DType
    tracking_uri: str

    def inputs(self) -> Mapping[str, Any]:
        """What was listed, and what a GGUF file is dequantised to."""
        return {"listing": self.sighting.listing, "dtype": self.weights_dtype}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Fetches."""
        address = self.sighting.address
        fetched = run_stage(vault, fetch_request(address, self.weights_dtype, self.tracking_uri))
        if sightings(address, self.tracking_uri) != [self.sighting]:
            raise SourceError(f"{address} changed while it was read", "It is looked at again the next time")
        return {"checkpoint": fetched.outputs["checkpoint"]}


def is_settled(vault: Vault, sighting: Sighting, seconds: float) -> bool:
    """Whether the same was listed in an earlier look, so many seconds ago or more; notes this one if there was none."""
    key = f"watch/{sighting.listing}.json"
    seen = {"address": sighting.address, "first_seen": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if vault.store.create(key, canonical_json(seen)):
        return False
    first = datetime.fromisoformat(json.loads(vault.store.read(key))["first_seen"])
    return (datetime.now(UTC) - first).total_seconds() >= seconds
