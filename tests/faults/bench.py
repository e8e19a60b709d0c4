"""Trials of the fault bench: what is tried how often, what each trial came to, kept from one run to the next.

A row of the scorecard has trials numbered from 0. A trial that went well is not repeated while product, bench, lock
and machine are the same, so that a run of many trials that was stopped goes on, and several runs add up.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).parents[2]

#: A short slice in `make test`, `make faults`, `make faults FULL=1`.
Mode = Literal["slice", "bench", "full"]
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the scorecard.

    Attributes:
        title: What is done, and what must come of it.
        slice: Trials in `make test`.
        bench: In `make faults`.
        full: In `make faults FULL=1`.
        peaks: Figures of which the largest counts; all others are added up.
        units: Of figures that have one.
    """

    title: str
    slice: int
    bench: int
    full: int
    peaks: tuple[str, ...] = ()
    units: dict[str, str] | None = None

    def wanted(self, mode: Mode) -> int:
        """How many trials."""
        return int(getattr(self, mode))


def mode() -> Mode:
    """What this run is."""
    asked = os.environ.get("LORP_FAULTS", "slice")
    if asked not in ("slice", "bench", "full"):
        raise ValueError(f"LORP_FAULTS is {asked}, and must be slice, bench or full")
    return asked  # type: ignore[return-value]


@dataclass(frozen=True)
class Trials:
    """Trials of one row."""

    name: str
    row: Row

    @property
    def is_slice(self) -> bool:
        """Whether a few of a trial's parts are enough."""
        return mode() == "slice"

    def left(self) -> Iterator[int]:
        """Numbers of the trials that are still to be made."""
        done = {entry["trial"] for entry in self.noted() if not entry["fault"]} if mode() != "slice" else set()
        return (number for number in range(self.row.wanted(mode())) if number not in done)

    @contextmanager
    def trial(self, number: int) -> Iterator[Figures]:
        """One trial: what it measures goes into the figures; what it raises is noted, and goes on."""
        figures: Figures = {}
        try:
            yield figures
        except BaseException as fault:
            self._note(number, figures, f"{type(fault).__name__}: {fault}"[:500])
            raise
        self._note(number, figures, None)

    def noted(self) -> list[dict[str, Any]]:
        """What is known of the trials so far, the last of each; without those of an interrupted write."""
        try:
            lines = self._file.read_text().splitlines()
        except FileNotFoundError:
            return []
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return list({entry["trial"]: entry for entry in entries}.values())

    @property
    def _file(self) -> Path:
        return folder() / f"{self.name}.jsonl"

    def _note(self, number: int, figures: Figures, fault: str | None) -> None:
        if mode() == "slice":
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.write(json.dumps({"trial": number, "figures": figures, "fault": fault}) + "\n")


def folder() -> Path:
    """Where trials of this product by this bench on this machine are noted."""
    root = Path(os.environ.get("LORP_FAULTS_FOLDER", REPOSITORY / ".faults"))
    return root / product()


@cache
def product() -> str:
    """Digest over the code of product and tests, what is deployed, the lock, and what it runs on."""
    hasher = sha256(f"{platform.machine()} {platform.python_version()} {os.cpu_count()}".encode())
    parts = ("lorp", "tasks", "flows", "tests", "deployments")
    files = [path for part in parts for ending in ("py", "yaml") for path in (REPOSITORY / part).rglob(f"*.{ending}")]
    for path in sorted([*files, REPOSITORY / "prefect.yaml", REPOSITORY / "requirements.lock"]):
        hasher.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()[:12]
