"""What a run came to, as one JSON object and in words."""

from typing import Any, TypedDict


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


def summary(outcome: Outcome) -> str:
    """One sentence: what was removed, and what the gate said of it."""
    removed, total = outcome["plan"]["removed"], outcome["checkpoint"]["num_blocks"]
    said = "approved" if outcome["verdict"]["approved"] else "rejected"
    failed = [criterion for criterion in outcome["verdict"]["criteria"] if not criterion["passed"]]
    why = (failed or outcome["verdict"]["criteria"])[0]
    return f"{said}: {len(removed)} of {total} blocks removed, {label(why['name'])}: {why['reason']}"


def label(criterion: str) -> str:
    """A criterion's name in words."""
    return criterion.replace("_", " ")


def criteria_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """The verdict as a table, a row a criterion."""
    return [
        {
            "criterion": label(criterion["name"]),
            "value": number(criterion["value"]),
            "bound": number(criterion["bound"]),
            "budget": f"{criterion['side']} {number(criterion['budget'])}",
            "result": "pass" if criterion["passed"] else "fail",
            "reason": criterion["reason"],
        }
        for criterion in outcome["verdict"]["criteria"]
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
