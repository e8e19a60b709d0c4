"""`lorp recompress` and `lorp demo`: specs checked, flow run, outcomes shown."""

import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.terminal import shown_progress
from flows.wording import Outcome, label, number, summary
from lorp.depth import check_count
from lorp.errors import SpecError
from lorp.gate import MIN_ITEMS, MIN_PROMPTS, MIN_WINDOWS, min_rounds, needed
from lorp.models import device_kind
from lorp.plan import of_its
from lorp.spec import RecompressSpec
from tasks.corpora import check_text
from tasks.downstream import check_tasks
from tasks.fetch import source_num_blocks
from tasks.runner import check_runner
from tasks.settings import settings
from tasks.signing import signing_key
from tasks.vault import open_vault
from tasks.workspace import Workspace, make_home, workspace

LOGGER = logging.getLogger("lorp.command")

_REJECTED = 3


#: What is to be done next, given what was asked and what came of it; None if nothing is.
Following = Callable[[RecompressSpec, Outcome], RecompressSpec | None]


def recompress_all(
    specs: Sequence[RecompressSpec],
    store: str | None,
    tracking_uri: str | None,
    as_json: bool,
    following: Following | None = None,
) -> int:
    """Runs a job a spec, one after the other; returns 0 if the last is approved, else 3.

    Args:
        specs: What is asked.
        store: Where results go.
        tracking_uri: Where variants are registered.
        as_json: Whether a line of JSON is printed for each.
        following: Says what else to do once the last is done.

    Raises:
        LorpError: As `flows.recompress.recompress` does.
    """
    places = workspace(store, tracking_uri)
    check(specs[0], places)
    outcomes: list[Outcome] = []
    try:
        # Whatever a library prints must not come between the lines that machines read.
        with shown_progress(), redirect_stdout(sys.stderr):
            LOGGER.info("start: Prefect (its first start takes up to a minute)")
            from flows.recompress import run_recompress

            outcomes.extend(run_recompress(spec, places) for spec in specs)
            if following and (more := following(specs[-1], outcomes[-1])):
                outcomes.append(run_recompress(more, places))
    finally:
        _tell(outcomes, as_json)
    return 0 if outcomes[-1]["verdict"]["approved"] else _REJECTED


def _tell(outcomes: Sequence[Outcome], as_json: bool) -> None:
    """What has been done, also where what follows it failed."""
    if as_json:
        for outcome in outcomes:
            typer.echo(json.dumps(outcome))
    elif outcomes:
        show(outcomes)


def check(spec: RecompressSpec, places: Workspace) -> None:
    """Finds what can be found wrong before anything is started.

    Raises:
        InputError: A setting, the store, the source, the count or the text cannot be used.
    """
    _check_budgets(spec)
    check_runner()
    signing_key()
    check_text(spec.calibration, spec.evaluation)
    check_tasks(spec.tasks)
    if settings().dask_scheduler is None:  # else it is the workers' device
        device_kind(spec.compute.device)
    vault = open_vault(places.store)
    if places.embedded:
        make_home()
    else:
        from tasks.registry import check_registry

        check_registry(places)
    # Last, since a source may have to be brought here first.
    check_count(spec.pruning.remove, source_num_blocks(spec.source, places.tracking_uri, vault, spec.pruning.stack))


def _check_budgets(spec: RecompressSpec) -> None:
    """Refuses budgets of what is not measured, or too little."""
    prompts = min(spec.generation.num_prompts, spec.evaluation.num_windows)
    measured = {
        "perplexity": (spec.evaluation.num_windows, MIN_WINDOWS, "evaluation windows", "--evaluation-windows"),
        "tasks": (
            len(spec.tasks.tasks) * (spec.tasks.limit or MIN_ITEMS),
            MIN_ITEMS,
            "questions",
            "--tasks and --limit",
        ),
        "generation": (prompts, MIN_PROMPTS, "prompts to continue", "--generation-prompts"),
        "speed": (spec.speed.repeats, min_rounds(spec.gate.confidence), "rounds of timing", "--speed-rounds"),
    }
    for kind in sorted(needed(spec.gate)):
        asked, least, what, option = measured[kind]
        if asked < least:
            raise SpecError(
                f"{asked} {what} are too few for a verdict on {kind}", f"Ask for at least {least} with {option}"
            )


def show(outcomes: Sequence[Outcome]) -> None:
    """Prints what was measured, the verdicts, and where to look further."""
    console = Console(highlight=False)
    counts = [
        f"{len(outcome['plan']['removed'])} of {outcome['checkpoint']['num_blocks']}{of_its(outcome['plan']['stack'])}"
        for outcome in outcomes
    ]
    table = Table("removed", *counts, title=outcomes[0]["name"], title_justify="left")
    for line in zip(*(_column(outcome) for outcome in outcomes), strict=True):
        table.add_row(line[0][0], *(Text(value) for _, value in line))
    console.print(table)
    for outcome in outcomes:
        console.print(Text(summary(outcome)), soft_wrap=True)
        console.print(Text(f"  variant {outcome['variant']['uri']}"), soft_wrap=True)
        console.print(Text(f"  report  {outcome['report']}"), soft_wrap=True)
    console.print(Text(f"Open a report: python3 -m webbrowser {outcomes[-1]['report']}"), soft_wrap=True)


def _column(outcome: Outcome) -> list[tuple[str, str]]:
    perplexity, version = outcome["perplexity"], outcome["model_version"]
    saved = 1 - outcome["variant"]["weight_bytes"] / outcome["checkpoint"]["weight_bytes"]
    budgets = [
        (f"budget: {label(criterion['name'])}", f"{criterion['side']} {number(criterion['budget'])}")
        for criterion in outcome["verdict"]["criteria"]
    ]
    return [
        ("blocks", ", ".join(map(str, outcome["plan"]["removed"]))),
        *([("calibrated on", " + ".join(outcome["calibrated_on"]))] if outcome["mixtures"] else []),
        *_looked_at(outcome),
        ("healing", outcome["healing"]["method"]),
        ("perplexity, dense", number(perplexity["dense"])),
        ("perplexity, pruned", number(perplexity["pruned"])),
        ("ratio", number(perplexity["ratio"])),
        ("ratio, upper bound", number(perplexity["upper_bound"])),
        *_measured(outcome),
        *budgets,
        ("weights saved", f"{saved:.1%}"),
        ("verdict", "APPROVED" if outcome["verdict"]["approved"] else "REJECTED"),
        ("model version", str(version) if version else "-"),
    ]


def _looked_at(outcome: Outcome) -> list[tuple[str, str]]:
    """The counts of the frontier, if it was asked for."""
    if outcome["frontier"] is None:
        return []
    points = outcome["frontier"]["points"]
    sides = {point["count"]: point["standing"]["side"] if point["standing"] else "outside" for point in points}
    within, over = (
        ", ".join(str(count) for count, side in sides.items() if (side == "inside") == inside)
        for inside in (True, False)
    )
    return [("counts within / over budget", f"{within or '-'} / {over or '-'}")]


def _measured(outcome: Outcome) -> list[tuple[str, str]]:
    """What was measured beside perplexity."""
    found = outcome["measured"]
    pairs = {
        "accuracy": ("accuracy_dense", "accuracy_pruned", " -> "),
        "repetition rate": ("repetition_dense", "repetition_pruned", " -> "),
        "speed-up, prefill / decoding": ("prefill_speedup", "decode_speedup", " / "),
    }
    return [
        (name, f"{number(found[one])}{between}{number(found[other])}")
        for name, (one, other, between) in pairs.items()
        if one in found and other in found
    ]
