"""What plans and healing cost, every method beside the others on the same windows: `python benchmarks/quality.py`.

SmolLM2-135M-Instruct, which comes with a package; texts and tasks from a folder, `--data`, with these files:
`wikitext2.test.raw`, `c4.train.first1000.jsonl`, and task sets as `.jsonl`. Conventions: tokens of WikiText-2 are
joined as they are; what chooses and fits comes from the first half, what judges from the second, 32 windows of 256
tokens, one every 1,280. C4 is dealt by documents.

Every stage is the product's own, kept in the store under `--work`. Rows are written as they come, to `quality.csv` in
that folder, beside those that earlier commands left there; a row that is there is not made again. `quality.md` and
`quality.png` show all rows at the end. So several commands may fill one table, and each goes on where it was stopped.
"""

import argparse
import csv
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from quality_bench import TASKS, Bench, Cell
from quality_table import Row, write_table

Place = tuple[int | str, ...]

COUNTS = (3, 5, 7, 9)
METHODS = ("lorp", "shortgpt", "streamline", "greedy", "auto")
HEALINGS = ("none", "linear", "auto")
FITTED_ON = ("wikitext2", "c4")
SETTINGS = ("fit_windows", "swaps", "items", "dtype")
COLUMNS = (
    "fitted_on", "count", "method", "healing", "removed", "healed_by", "wikitext2", "wikitext2_ratio",
    "wikitext2_ratio_low", "wikitext2_ratio_high", "c4", "accuracy", *TASKS, *SETTINGS,
)  # fmt: skip


def main() -> None:
    """Fills the table, cell by cell, and draws it."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)

    bench, file = Bench(options), options.work / "quality.csv"
    settings = {name: str(getattr(options, name)) for name in SETTINGS}
    rows = _read(file, settings, options.fitted_on)
    for cell in _cells(options):
        place = _place(cell.named())
        if place not in rows:
            figures = bench.row(cell) | settings
            rows[place] = {name: str(figures.get(name, "")) for name in COLUMNS}
            _write(file, rows)
            logging.info("%s", rows[place])
    write_table(options.work, [rows[place] for place in sorted(rows)], bench.dense)


def _read(file: Path, settings: Mapping[str, str], fitted_on: Sequence[str]) -> dict[Place, Row]:
    """Rows of earlier commands; those of the same texts must have been made as those of this one are."""
    if not file.exists():
        return {}
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    beside = [row for row in rows if row["fitted_on"] in fitted_on]
    if any(row[name] != value for row in beside for name, value in settings.items()):
        raise SystemExit(f"{file} holds rows of other settings than {settings}: use another --work")
    return {_place(row): row for row in rows}


def _write(file: Path, rows: Mapping[Place, Row]) -> None:
    aside = file.with_suffix(".new")
    with aside.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[place] for place in sorted(rows))
    aside.replace(file)


def _place(row: Row) -> Place:
    """What a row is about, and where it stands in the table."""
    texts, methods, healings = (FITTED_ON, row["fitted_on"]), (METHODS, row["method"]), (HEALINGS, row["healing"])
    where = [names.index(name) if name in names else len(names) for names, name in (texts, methods, healings)]
    return where[0], int(row["count"]), *where[1:], row["method"], row["healing"]


def _cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Those of the own text first, and plans that are not healed before those that are."""
    for fitted_on in options.fitted_on:
        for count in options.counts:
            for method in options.methods:
                for healing in options.healings:
                    yield Cell(fitted_on, count, method, healing)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("quality"))
    parser.add_argument("--counts", type=_several(int), default=COUNTS)
    parser.add_argument("--methods", type=_several(str), default=METHODS)
    parser.add_argument("--healings", type=_several(str), default=HEALINGS)
    parser.add_argument("--fitted-on", type=_several(str), default=FITTED_ON)
    parser.add_argument("--fit-windows", type=int, default=192)
    parser.add_argument("--swaps", type=int, default=60, help="plans that a search tries, at most, to better the best")
    parser.add_argument("--items", type=int, default=50, help="of each task set; 0 for none")
    parser.add_argument(
        "--dtype", default="float32", help="of searches and answers; fits and perplexities are always in float32"
    )
    parser.add_argument("--device", default="cpu", help="where models run")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def _several(kind: type) -> object:
    def parse(text: str) -> Sequence[object]:
        return tuple(kind(part) for part in text.split(","))

    return parse


if __name__ == "__main__":
    main()
