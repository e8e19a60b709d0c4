"""A stage: a request that says what determines its result, and how it is made when no one has made it yet."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from lorp.digest import digest_value
from lorp.disk import full_told
from tasks.usage import note_use
from tasks.vault import Manifest, Reference, Vault
from tasks.versions import software_versions

LOGGER = logging.getLogger("lorp.stage")

Outputs = dict[str, Reference]


@dataclass(frozen=True, kw_only=True)
class Request(ABC):
    """A stage applied to given inputs.

    Attributes:
        STAGE: The stage's name.
        VERSION: Raised when the stage's meaning changes.
        READS_FILES: Whether it reads files that lie where the flow runs, and so has to run there.
        label: Tells people which of several it is; determines nothing.
    """

    STAGE: ClassVar[str]
    VERSION: ClassVar[int]
    READS_FILES: ClassVar[bool] = False
    label: str = ""

    @abstractmethod
    def inputs(self) -> Mapping[str, Any]:
        """JSON value of all that determines the result: digests, specs, seeds; no paths, host names or batch sizes."""

    @abstractmethod
    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Makes the result and stores it."""

    @property
    def title(self) -> str:
        """What people are shown."""
        return f"{self.STAGE} {self.label}".strip()

    @property
    def key(self) -> str:
        """The stage's cache key, the same on every machine."""
        return f"{self.STAGE}-v{self.VERSION}-{digest_value(self.inputs())}"


def run_stage(vault: Vault, request: Request) -> Manifest:
    """The stage's result from the store if it is there and intact, else made and committed."""
    done = vault.result(request.key)
    if done:
        note_use(vault, done)
        LOGGER.info("%s: reused", request.title)
        return done
    LOGGER.info("%s: started", request.title)
    return make(vault, request)


def make(vault: Vault, request: Request) -> Manifest:
    """Makes and commits a stage's result.

    Raises:
        SpaceError: A disk is full.
    """
    started = time.monotonic()
    with full_told(), vault.scratch() as scratch:
        outputs = request.compute(vault, scratch)
    manifest = Manifest(
        stage=request.STAGE,
        key=request.key,
        inputs=dict(request.inputs()),
        outputs=outputs,
        versions=software_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 3),
    )
    return vault.commit(manifest)
