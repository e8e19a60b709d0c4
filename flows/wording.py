"""What a run came to, as one JSON object and in words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from lorp.plan import of_its


class Outcome(TypedDict):
    """The object that `--json` prints. Perplexities are null where they are not finite."""

    run: str
    source: str
    name: str
    checkpoint: dict[str, Any]
    similarity: dict[str, Any]
    calibrated_on: list[str]
    mixtures: dict[str, Any] | None
    plan: dict[str, Any]
    frontier: dict[str, Any] | None
    healing: dict[str, Any]
    perplexity: dict[str, float | None]
    measured: dict[str, float | None]
    verdict: dict[str, Any]
    variant: dict[str, Any]
    model_version: int | None
    mlflow_run: str
    report: str
    lineage: str


class Cell(TypedDict):
    """One combination of a sweep. Figures are null where there are none, and so is `approved` without a verdict."""

    remove: float
    method: str
    healing: str
    removed: list[int] | None
    perplexity_ratio: float | None
    upper_bound: float | None
    accuracy: float | None
    approved: bool | None
    reason: str


def summary(outcome: Outcome) -> str:
    """One sentence: what was removed, and what the gate said of it."""
    removed, total = outcome["plan"]["removed"], outcome["checkpoint"]["num_blocks"]
    said = "approved" if outcome["verdict"]["approved"] else "rejected"
    whose = of_its(outcome["plan"]["stack"])
    return f"{said}: {len(removed)} of {total} blocks{whose} removed, {why(outcome['verdict']['criteria'])}"


def why(criteria: Sequence[Mapping[str, Any]]) -> str:
    """The first criterion that failed, or else the first, and what was found."""
    failed = [criterion for criterion in criteria if not criterion["passed"]]
    decisive = (failed or criteria)[0]
    return f"{label(decisive['name'])}: {decisive['reason']}"


def label(criterion: str) -> str:
    """A criterion's name in words."""
    return criterion.replace("_", " ")


def promotion_summary(outcome: Mapping[str, Any]) -> str:
    """One sentence: what became of a promotion, and why."""
    what = f"version {outcome['version']} of {outcome['name']}"
    failed = [condition for condition in outcome["conditions"] if not condition["passed"]]
    if outcome["state"] == "Promoted":
        before = f"version {outcome['before']}" if outcome["before"] else "nothing"
        return f"{what} is {outcome['alias']} now; before it was {before}"
    if outcome["state"] == "Unchanged":
        return f"{what} was {outcome['alias']} already"
    if failed:
        return f"{what} stays as it is: {label(failed[0]['name'])}: {failed[0]['reason']}"
    return f"{what} stays as it is: {outcome['approval']['by'] or 'a person'} did not approve"


def rollback_summary(outcome: Mapping[str, Any]) -> str:
    """One sentence: what became of a rollback."""
    what = f"version {outcome['version']} of {outcome['name']}"
    if outcome["state"] == "Unchanged":
        return f"{what} was {outcome['alias']} already"
    if outcome["before"] is None:
        return f"{what} is {outcome['alias']} again: a rollback that was interrupted is finished"
    return f"{what} is {outcome['alias']} again; before it was version {outcome['before']}"


def reconcile_summary(outcome: Mapping[str, Any]) -> str:
    """A sentence for each alias that was not where its ledger says, each name that could not be looked at, and runs."""
    faults = [f"{name} could not be looked at: {reason}" for name, reason in outcome["faults"].items()]
    runs = [f"the run {name} had died, and is ended" for name in outcome["runs"]]
    aliases = [*map(_reconciled, outcome["found"]), *faults] or ["all aliases are where their ledgers say"]
    return "; ".join([*aliases, *runs])


def _reconciled(found: Mapping[str, Any]) -> str:
    there = f"version {found['registry']}" if found["registry"] else "nothing"
    why = "as a crash leaves it" if found["cause"] == "behind" else "moved by something else than lorp"
    now = "mended" if found["mended"] else "left as it is: lorp reconcile --restore puts it back"
    return f"{found['name']}@{found['alias']} was {there} and not version {found['ledger']}, {why}; {now}"


def watch_summary(looks: Sequence[Mapping[str, Any]]) -> str:
    """How many checkpoints stand how, and what is the matter with those that need a person."""
    counts = Counter(look["standing"] for look in looks)
    parked = [f"{look['address']}: {look['reason']}" for look in looks if look["standing"] == "parked"]
    said = ", ".join(f"{count} {standing}" for standing, count in counts.items()) or "nothing there"
    return "; ".join([said, *parked])


def sweep_summary(cells: Sequence[Cell]) -> str:
    """How many cells came to what."""
    said = {True: "approved", False: "rejected", None: "without a verdict"}
    counts = Counter(said[cell["approved"]] for cell in cells)
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def sweep_rows(cells: Sequence[Cell]) -> list[dict[str, str]]:
    """A sweep as a table, a row a cell."""
    said = {True: "APPROVED", False: "REJECTED", None: "-"}
    return [
        {
            "removed": f"{cell['remove']:g}",
            "method": cell["method"],
            "healing": cell["healing"],
            "blocks": ", ".join(map(str, cell["removed"] or [])) or "-",
            "ratio": number(cell["perplexity_ratio"]),
            "upper bound": number(cell["upper_bound"]),
            "accuracy": number(cell["accuracy"]),
            "verdict": said[cell["approved"]],
            "reason": cell["reason"],
        }
        for cell in cells
    ]


def criteria_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """The verdict as a table, a row a criterion."""
    return rows(outcome["verdict"]["criteria"])


def rows(criteria: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Criteria or conditions as a table, a row each."""
    return [
        {
            "criterion": label(criterion["name"]),
            "value": number(criterion["value"]),
            "bound": number(criterion["bound"]),
            "budget": f"{criterion['side']} {number(criterion['budget'])}",
            "result": "pass" if criterion["passed"] else "fail",
            "reason": criterion["reason"],
        }
        for criterion in criteria
    ]


def number(value: float | None) -> str:
    """A figure for people; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def markdown(outcome: Outcome) -> str:
    """A summary page for Prefect."""
    perplexity = outcome["perplexity"]
    version = outcome["model_version"]
    lines = [
        f"# {_plain(outcome['name'])}: {'APPROVED' if outcome['verdict']['approved'] else 'REJECTED'}",
        "",
        _plain(summary(outcome)),
        "",
        f"- blocks removed: {outcome['plan']['removed']} ({outcome['plan']['method']})",
        f"- healing: {outcome['healing']['method']}",
        f"- perplexity: {number(perplexity['dense'])} dense, {number(perplexity['pruned'])} pruned",
        f"- RLS {outcome['similarity']['rls']:.3f}, {outcome['similarity']['num_clusters']} clusters",
        f"- variant: `{outcome['variant']['uri']}`",
        f"- model version: {version if version else 'none, since it was rejected'}",
        f"- report: `{outcome['report']}`",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that Markdown and HTML take literally."""
    return "".join(f"&#{ord(char)};" if char in "<>&`*_[]#|\\!" else char for char in text)
