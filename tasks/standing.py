"""Store and registry -> how things stand: the newest verdicts, what is in production. It only looks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.entities import Run

from lorp.errors import LorpError
from lorp.ledger import Change, Entry, last_move, standing
from tasks.aliases import aliases
from tasks.ledger import names, read_ledger
from tasks.reconcile import Found, elsewhere
from tasks.tracking import CANDIDATE, is_there, newest_runs, versions
from tasks.vault import Vault
from tasks.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class VerdictSeen:
    """A verdict in the registry.

    Attributes:
        time: When it was registered, UTC, ISO 8601.
        name: The registered model.
        approved: What the gate said.
        removed: Blocks of the dense model.
        ratio: Of perplexities, pruned / dense.
        bound: Its upper bound.
        budget: What that may be at most.
        version: The version of an approved variant.
        run: Id of the run in MLflow.
        page: That run's page, if MLflow is a server.
        report: Address of the report.
    """

    time: str
    name: str
    approved: bool
    removed: tuple[int, ...]
    ratio: float | None
    bound: float | None
    budget: float
    version: int | None
    run: str
    page: str | None
    report: str


@dataclass(frozen=True, kw_only=True)
class AliasSeen:
    """An alias that a ledger speaks of.

    Attributes:
        alias: The alias.
        version: What it stands for by the ledger.
        moved: The change that put it there.
        strayed: How the registry differs, if it does.
    """

    alias: str
    version: int
    moved: Change
    strayed: Found | None


@dataclass(frozen=True, kw_only=True)
class NameSeen:
    """A registered model.

    Attributes:
        name: Its name.
        candidate: The version that the alias of that name stands for in the registry.
        aliases: The others, by the ledger.
        history: The last entries of the ledger, newest first.
        fault: Why its ledger could not be read.
    """

    name: str
    candidate: int | None
    aliases: tuple[AliasSeen, ...] = ()
    history: tuple[Entry, ...] = ()
    fault: str | None = None


def verdicts(places: Workspace, name: str | None, count: int) -> list[VerdictSeen]:
    """The newest verdicts, newest first; of one name if that is given.

    Raises:
        RegistryError: MLflow cannot be used.
    """
    numbers = {(found.name, found.tags["lorp.verdict"]): found.version for found in versions(places)}
    return [_verdict(places, numbers, run) for run in newest_runs(places, name, count)]


def production(places: Workspace, vault: Vault | None, only: str | None, num_entries: int) -> list[NameSeen]:
    """Every name that a ledger or the registry knows, or one of them; a broken ledger does not hide the others.

    Raises:
        RegistryError: MLflow cannot be used.
        OutageError: The store does not answer.
    """
    registered = versions(places)
    found = {*(names(vault) if vault else ()), *(version.name for version in registered)}
    return [_name(places, vault, name, num_entries) for name in sorted(found) if only in (None, name)]


def _verdict(places: Workspace, numbers: Mapping[tuple[str, str], int], run: Run) -> VerdictSeen:
    tags, metrics, info = run.data.tags, run.data.metrics, run.info
    gate: dict[str, Any] = json.loads(tags["lorp.gate_spec"])
    return VerdictSeen(
        time=datetime.fromtimestamp(info.start_time / 1000, UTC).isoformat(timespec="seconds"),
        name=tags["lorp.name"],
        approved=tags["lorp.approved"] == "true",
        removed=tuple(json.loads(run.data.params.get("removed", "[]"))),
        ratio=metrics.get("perplexity_ratio"),
        bound=metrics.get("perplexity_ratio_upper_bound"),
        budget=gate["max_perplexity_ratio"],
        version=numbers.get((tags["lorp.name"], tags["lorp.verdict"])),
        run=info.run_id,
        page=_page(places, run),
        report=f"{info.artifact_uri}/report/{tags['lorp.report']}.html",
    )


def _page(places: Workspace, run: Run) -> str | None:
    if not places.tracking_uri.startswith("http"):
        return None
    return f"{places.tracking_uri.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def _name(places: Workspace, vault: Vault | None, name: str, num_entries: int) -> NameSeen:
    registered = aliases(places, name) if is_there(places) else {}
    candidate = registered.get(CANDIDATE)
    try:
        entries = read_ledger(vault, name) if vault else ()
    except LorpError as fault:
        return NameSeen(name=name, candidate=candidate, fault=fault.reason)
    strayed = {found.alias: found for found in elsewhere(name, entries, registered)}
    moved = {alias: last_move(entries, alias) for alias in standing(entries).held}
    return NameSeen(
        name=name,
        candidate=candidate,
        aliases=tuple(
            AliasSeen(alias=alias, version=entry.change.version, moved=entry.change, strayed=strayed.get(alias))
            for alias, entry in moved.items()
            if entry and entry.change.version
        ),
        history=entries[::-1][:num_entries],
    )
