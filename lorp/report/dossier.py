"""What an audit found, and what it was about -> a dossier: one page that stands alone, to be read or filed away."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lorp.gate import CriterionResult
from lorp.report.page import environment

_TEMPLATE = "dossier.html.j2"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that was looked at: of what, what was asked, what came of it, and what was found."""

    about: str
    name: str
    state: str
    said: str


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something stored.

    Attributes:
        anchor: Its place on the page.
        role: What it is.
        address: Its key in the store, or where it came from.
        digest: Its sha256; of a folder, over its files.
    """

    anchor: str
    role: str
    address: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class BlockLine:
    """A removed block: index, cluster, similarity of its input and output, share of resamples that remove it."""

    block: int
    cluster: int
    similarity: float
    share: float


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """One run.

    Attributes:
        anchor: Its place on the page.
        title: The model's name and version.
        approved: What the gate said.
        facts: Whatever is worth a line: name and value.
        criteria: What the gate measured.
        method: The selector.
        blocks: Those that were removed.
        kept: Block i is block `kept[i]` of the source.
        graph: What rests on what.
        things: Everything stored.
        asked: The spec, by its parts.
    """

    anchor: str
    title: str
    approved: bool
    facts: tuple[tuple[str, str], ...]
    criteria: tuple[CriterionResult, ...]
    method: str
    blocks: tuple[BlockLine, ...]
    kept: tuple[int, ...]
    graph: Markup
    things: tuple[Thing, ...]
    asked: dict[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, kw_only=True)
class EntryLine:
    """An entry of a ledger, in words."""

    anchor: str
    ledger: str
    sequence: int
    time: str
    what: str
    asked_by: str
    reason: str
    approved: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DossierData:
    """All that the page shows.

    Attributes:
        target: What was audited.
        again: What to audit to see the same again.
        store: Where.
        time: When, UTC, ISO 8601.
        version: Of lorp.
        sound: Whether all of it holds.
        lines: What was looked at.
        faults: What is wrong: object and reason.
        num_objects: Objects that were read.
        num_bytes: Their bytes.
        runs: The runs that it was about.
        entries: Of the ledgers that it was about.
        unexplained: How many runs cannot be shown.
        heads: What `lorp audit --since` takes, to be kept elsewhere.
    """

    target: str
    again: str
    store: str
    time: str
    version: str
    sound: bool
    lines: tuple[Line, ...]
    faults: tuple[tuple[str, str], ...]
    num_objects: int
    num_bytes: int
    runs: Sequence[RunPart]
    unexplained: int
    entries: Sequence[EntryLine]
    heads: str

    @property
    def not_done(self) -> tuple[Line, ...]:
        """What could not be looked at."""
        return tuple(line for line in self.lines if line.state == "not done")


def render_dossier(data: DossierData) -> str:
    """The page as HTML; all text is escaped."""
    page = environment().get_template(_TEMPLATE).render(data=data)
    return page.encode("utf-8", "backslashreplace").decode()
