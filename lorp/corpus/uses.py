"""Windows by their one use: what chose or fitted something must not judge it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from lorp.corpus.documents import Window

DealtUse = Literal["search", "healing", "mixture", "frontier"]


@dataclass(frozen=True)
class FitWindows:
    """Windows that healing is fitted on."""

    windows: tuple[Window, ...]


@dataclass(frozen=True)
class RidgeWindows:
    """Windows on which it is chosen how strongly a fit is held back."""

    windows: tuple[Window, ...]


@dataclass(frozen=True, kw_only=True)
class HealingWindows:
    """All that a fit sees."""

    fit: FitWindows
    ridge: RidgeWindows


@dataclass(frozen=True)
class MendWindows:
    """Windows on which plans are mended for as long as they are compared."""

    windows: tuple[Window, ...]


@dataclass(frozen=True)
class ScoreWindows:
    """Windows on which plans compete."""

    windows: tuple[Window, ...]


@dataclass(frozen=True)
class ConfirmWindows:
    """Windows on which the few plans that won are compared once more."""

    windows: tuple[Window, ...]


@dataclass(frozen=True, kw_only=True)
class SearchWindows:
    """All that a search for a plan sees."""

    mend: MendWindows
    score: ScoreWindows
    confirm: ConfirmWindows


@dataclass(frozen=True)
class FrontierWindows:
    """Windows on which it is found how deep a budget lets one cut: of the gate's text, but none of the gate's own."""

    windows: tuple[Window, ...]


@dataclass(frozen=True)
class MixtureWindows:
    """Windows on which mixtures of corpora compete by their plans: of the gate's text, but none of the gate's own."""

    windows: tuple[Window, ...]


Dealt = SearchWindows | HealingWindows | MixtureWindows | FrontierWindows


def fewest(use: DealtUse, sizes: Sequence[int]) -> int:
    """With how many windows a use makes do: of healing and of the frontier a third of the first part is enough."""
    return sum(sizes) if use in {"search", "mixture"} else math.ceil(sizes[0] / 3) + sum(sizes[1:])


def deal(use: DealtUse, windows: Sequence[Window], sizes: Sequence[int]) -> Dealt:
    """Windows in parts of these sizes, one after another, as what they are for; the first part bears a lack of them."""
    sizes = (sizes[0] - max(0, sum(sizes) - len(windows)), *sizes[1:])
    parts = [tuple(windows[start:end]) for start, end in pairwise(accumulate(sizes, initial=0))]
    if use == "search":
        mend, score, confirm = parts
        return SearchWindows(mend=MendWindows(mend), score=ScoreWindows(score), confirm=ConfirmWindows(confirm))
    if use == "healing":
        fit, ridge = parts
        return HealingWindows(fit=FitWindows(fit), ridge=RidgeWindows(ridge))
    return MixtureWindows(*parts) if use == "mixture" else FrontierWindows(*parts)
