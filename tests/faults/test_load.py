"""Stores of ten thousand objects, and ledgers of ten thousand entries: what commands take grows no faster than they do.

Seconds are measured and not judged: they are the machine's. What is judged is how they grow from a tenth of that.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobs
import pytest
from bench import Figures, Trials
from children import child
from loads import fill_ledger, fill_store, ledger_costs, store_costs, watch_costs
from rows import trials

#: Ten times as many take ten times as long where the cost is linear, and a hundred times where it is quadratic.
_MOST_GROWTH = 30.0
#: What is done in less is not judged: it is noise.
_FIXED_SECONDS = 0.3

Costs = dict[str, dict[str, float]]


def sizes(tried: Trials) -> tuple[int, int]:
    """A tenth, and all."""
    return (300, 3_000) if tried.is_slice else (1_000, 10_000)


def test_commands_on_ten_thousand_objects(make_home: Callable[[str], Path], pico: Path) -> None:
    tried = trials("load_objects")
    for number in tried.left():
        with tried.trial(number) as figures:
            few, many = (_store(make_home(f"objects-{size}"), size, {}) for size in sizes(tried))
            _judge("folder ", few, many, figures)
            few, many = (_watch(make_home(f"watch-{size}"), pico, size // 10) for size in sizes(tried))
            _judge("watch ", few, many, figures)


@pytest.mark.faults
def test_commands_on_ten_thousand_objects_in_a_bucket(
    make_home: Callable[[str], Path], aws: None, shared_bucket: str
) -> None:
    tried = trials("load_bucket")
    for number in tried.left():
        with tried.trial(number) as figures:
            costs = []
            for size in sizes(tried):
                where = f"s3://{shared_bucket}/load/{number}-{size}"
                costs.append(_store(make_home(f"bucket-{size}"), size, {"LORP_STORE": where}))
            _judge("", *costs, figures)


def test_commands_on_a_ledger_of_ten_thousand_entries(make_home: Callable[[str], Path], pico: Path) -> None:
    tried = trials("load_ledger")
    for number in tried.left():
        with tried.trial(number) as figures:
            home = make_home("ledger")
            _child(_begin_ledger, home, str(pico))
            costs = []
            for size in sizes(tried):
                here = home.with_name(f"ledger-{size}")
                shutil.rmtree(here, ignore_errors=True)
                home.rename(here)  # versions' sources are addresses
                _child(fill_ledger, here, "pico", size)
                costs.append(_child(ledger_costs, here, "pico"))
                here.rename(home)
            _judge("", *costs, figures)


def _begin_ledger(source: str) -> None:
    for count in (2, 1):
        jobs.recompress(Path(source), pruning={"remove": count, "method": ["shortgpt"]})
    for version in (1, 2, 1):
        jobs.promote("pico", version)


def _store(home: Path, number: int, more: dict[str, str]) -> Costs:
    _child(fill_store, home, number, **more)
    return _child(store_costs, home, **more)


def _watch(home: Path, pico: Path, number: int) -> Costs:
    folder = home / "incoming"
    for index in range(number):
        # One content, so that the first look does not take what it takes to copy thousands of models.
        shutil.copytree(
            pico, folder / f"{index:05d}", copy_function=lambda *paths: Path(paths[1]).hardlink_to(paths[0])
        )
    return _child(watch_costs, home, str(folder), number)


def _child(act: Callable[..., Any], home: Path, *arguments: Any, **more: str) -> Any:
    environment = {"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None, **more}
    return child(act, *arguments, environment=environment).end(1200).whole()


def _judge(what: str, few: Costs, many: Costs, figures: Figures) -> None:
    """Notes what many cost, and that it is not far more than ten times what a tenth does."""
    for name, cost in many.items():
        figures[f"{what}{name}"] = cost["seconds"]
        figures[f"{what}{name} memory"] = cost["memory"]
    for name, cost in many.items():
        growth = cost["cpu"] / max(few[name]["cpu"], _FIXED_SECONDS / 10)
        assert growth < _MOST_GROWTH, f"{what}{name}: {growth:.0f} times as long for ten times as many"
