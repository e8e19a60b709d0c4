"""Numbers and verdicts -> words for people."""

import math
import re
from collections.abc import Sequence

from lorp.corpus.media import PairKind
from lorp.gate import CriterionResult, Verdict
from lorp.plan import PruningPlan, of_its
from lorp.report.axes import block_runs
from lorp.statistics import Estimate

RATIO = "perplexity_ratio"
PERPLEXITY = "perplexity"

_CRITERIA = {
    RATIO: "Perplexity ratio (pruned / dense)",
    PERPLEXITY: "Perplexity of the pruned model",
    "accuracy_drop": "Accuracy drop (dense − pruned)",
    "repetition_increase": "Rise of the 4-gram repetition rate",
    "prefill_speedup": "Prefill speed-up",
    "decode_speedup": "Decoding speed-up",
    "memory_ratio": "Memory ratio (pruned / dense)",
}
_SCORES = {
    ("lorp", "similarity"): "Mean similarity to the other blocks of its cluster; higher is more redundant.",
    ("lorp", "residual-variance"): "What the cluster's kept blocks leave unexplained once it is gone; "
    "lower is more redundant.",
    ("shortgpt", ""): "Similarity of the block's input and the next block's input; higher is more redundant.",
    ("greedy", ""): "Mean loss that is reached once the block is gone too, in nats.",
    ("auto", ""): "Mean loss without all of these blocks, in nats, on the windows on which plans compete.",
    ("streamline", ""): "Similarity of the inputs where the removed run starts and ends; higher is more redundant.",
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]+")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_PLAIN_BELOW = 1e7
# A number and its unit stay on one line.
_GAP = "\u00a0"


def printable(text: str) -> str:
    """Text on one line that changes nothing around it: no control characters, and none that turn its direction."""
    return _UNPRINTABLE.sub(" ", text)


def number(value: float | None, digits: int = 4) -> str:
    """A measured number with so many significant digits, thousands set apart; `not finite`, or a dash for none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-4 <= abs(value) < _PLAIN_BELOW:
        return f"{value:.{digits - 1}e}"
    rounded = float(f"{value:.{digits}g}")
    return f"{value:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:#,.{digits}g}"


def exactly(value: float) -> str:
    """A number that a person gave, or a round one, with no more digits than it has."""
    return f"{value:,.12g}" if 1e-4 <= abs(value) < _PLAIN_BELOW else f"{value:.12g}"


def number_beside(value: float | None, other: float) -> str:
    """A number with as many digits as it takes to be seen on the right side of another one."""
    if value is None or not math.isfinite(value) or value == other:
        return number(value)
    texts = [number(value, digits) for digits in range(4, 16)]
    return next((text for text in texts if _on_side(text, value, other)), texts[-1])


def _on_side(text: str, value: float, other: float) -> bool:
    shown = float(text.replace(",", ""))
    return shown < other if value < other else shown > other


def size(num_bytes: int) -> str:
    """Bytes in binary units: `513.1 MiB`."""
    power = 0
    while num_bytes >= 1024 ** (power + 1) and power < len(_UNITS) - 1:
        power += 1
    amount = num_bytes / 1024**power
    return f"{amount:.1f}{_GAP}{_UNITS[power]}" if power else f"{num_bytes}{_GAP}B"


def counted(count: object, noun: str) -> str:
    """`1 block`, `3 blocks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def made_from(kind: PairKind) -> str:
    """What a text is made from, with its article."""
    return {"text": "a source", "sound": "a sound", "image": "an image"}[kind]


def limit(criterion: CriterionResult) -> str:
    """A criterion's budget with the side that its bound must lie on: `≤ 1.5`."""
    return f"{'≤' if criterion.side == 'at most' else '≥'}{_GAP}{exactly(criterion.budget)}"


def interval(estimate: Estimate | str, digits: int = 3) -> str:
    """An estimate with its bounds: `1.02 (0.98 to 1.06)`; or why there is none."""
    if isinstance(estimate, str):
        return estimate
    return f"{number(estimate.value, digits)} ({number(estimate.lower, digits)} to {number(estimate.upper, digits)})"


def percent(share: float) -> str:
    """A share as `10.2 %`."""
    return f"{number(100 * share, 3)}{_GAP}%"


def saving(before: int, after: int) -> str:
    """What became of a size: `10.2 % saved`."""
    if not before or after == before:
        return "nothing saved"
    share = (before - after) / before
    return f"{percent(share)} saved" if share > 0 else f"{percent(-share)} more"


def criterion_label(name: str) -> str:
    """A criterion's name for people."""
    return _CRITERIA.get(name, name.replace("_", " ").capitalize())


def score_meaning(method: str, criterion: str) -> str:
    """What a selector's score is."""
    return _SCORES.get((method, criterion)) or _SCORES.get((method, "")) or "What the selector went by."


def headline(plan: PruningPlan, verdict: Verdict) -> str:
    """One sentence: what was done, and what the gate said."""
    whole = f"{plan.num_blocks} blocks{of_its(plan.stack)}"
    done = f"Removing {len(plan.removed)} of {whole} ({block_runs(plan.removed)})"
    ratio = next((item for item in verdict.criteria if item.name == RATIO), None)
    others = [item for item in verdict.criteria if not item.passed and item is not ratio]
    new = [item for item in others if not (ratio and item.reason == ratio.reason)]
    findings = [_ratio_clause(ratio), *(f"{criterion_label(item.name)}: {item.reason}" for item in new)]
    said = "approved" if verdict.approved else "rejected"
    return f"{done} {'; '.join(findings)}, so the gate {said} it."


def _ratio_clause(ratio: CriterionResult | None) -> str:
    if ratio is None:
        return "was not judged by its perplexity ratio"
    if ratio.value is None or ratio.bound is None:
        return f"could not be judged: {ratio.reason}"
    limit = f"{'within' if ratio.passed else 'over'} the budget of {exactly(ratio.budget)}"
    bound = number_beside(ratio.bound, ratio.budget)
    return f"multiplies perplexity by {number(ratio.value)}; the upper bound, {bound}, is {limit}"


def named_blocks(blocks: Sequence[int]) -> str:
    """`block 3`, or `blocks 3, 6–9`."""
    return f"{'block' if len(blocks) == 1 else 'blocks'} {block_runs(blocks)}"
