"""The rows of `quality.py` as Markdown tables and a drawing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str]

FIGURES = {
    "wikitext2": "perplexity on WikiText-2",
    "c4": "perplexity on C4",
    "accuracy": "accuracy, mean over tasks, %",
}


def write_table(folder: Path, rows: Sequence[Row], dense: Mapping[str, float]) -> None:
    """Writes `quality.md` and `quality.png`."""
    texts = list(dict.fromkeys(row["fitted_on"] for row in rows))
    lines = [line for text in texts for figure in FIGURES for line in _table(rows, dense, text, figure)]
    (folder / "quality.md").write_text("\n".join(lines))
    _draw(folder / "quality.png", rows, dense, texts)


def _table(rows: Sequence[Row], dense: Mapping[str, float], text: str, figure: str) -> list[str]:
    chosen = [row for row in rows if row["fitted_on"] == text and row[figure]]
    if not chosen or figure not in dense:
        return []
    counts = sorted({int(row["count"]) for row in chosen})
    kinds = list(dict.fromkeys((row["method"], row["healing"]) for row in chosen))
    cells = {(row["method"], row["healing"], int(row["count"])): float(row[figure]) for row in chosen}
    head = [f"Fitted on {text}: {FIGURES[figure]} (dense {_text(dense[figure], figure)})", ""]
    head += [f"| method | healing | {' | '.join(map(str, counts))} |", f"|---|---|{'---:|' * len(counts)}"]
    best = {
        count: (max if figure == "accuracy" else min)(value for key, value in cells.items() if key[2] == count)
        for count in counts
    }
    body = []
    for method, healing in kinds:
        values = [cells.get((method, healing, count)) for count in counts]
        shown = [_cell(value, best[count], figure) for value, count in zip(values, counts, strict=True)]
        body.append(f"| {method} | {healing} | {' | '.join(shown)} |")
    return [*head, *body, ""]


def _cell(value: float | None, best: float, figure: str) -> str:
    if value is None:
        return ""
    return f"**{_text(value, figure)}**" if value == best else _text(value, figure)


def _text(value: float, figure: str) -> str:
    return f"{100 * value:.1f}" if figure == "accuracy" else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _draw(path: Path, rows: Sequence[Row], dense: Mapping[str, float], texts: Sequence[str]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(texts), figsize=(6.4 * len(texts), 4.8), squeeze=False)
    for axis, text in zip(axes[0], texts, strict=True):
        kinds = dict.fromkeys((row["method"], row["healing"]) for row in rows if row["fitted_on"] == text)
        colours = {method: f"C{number}" for number, method in enumerate(dict.fromkeys(method for method, _ in kinds))}
        styles = {"none": ":", "linear": "--"}
        for method, healing in kinds:
            line = [row for row in rows if (row["fitted_on"], row["method"], row["healing"]) == (text, method, healing)]
            points = sorted((int(row["count"]), float(row["wikitext2"])) for row in line)
            axis.plot(
                *zip(*points, strict=True), styles.get(str(healing), "-"), color=colours[method], marker="o", ms=3,
                label=f"{method}, {'unhealed' if healing == 'none' else healing}",
            )  # fmt: skip
        axis.axhline(dense["wikitext2"], color="grey", lw=1)
        axis.set(title=f"fitted on {text}", xlabel="blocks removed of 30", ylabel="perplexity on WikiText-2")
        axis.set(yscale="log", ylim=(0.9 * dense["wikitext2"], 12 * dense["wikitext2"]))
        for ticks in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            ticks(lambda value, _: f"{value:g}")
        axis.legend(fontsize=7, handlelength=3.5)
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
