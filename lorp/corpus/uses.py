"""Windows by their one use: what chose or fitted something must not judge it."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorp.corpus.documents import Window


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


def healing_windows(windows: Sequence[Window], captured: int, fit: int) -> HealingWindows:
    """Deals windows of the calibration text: the captured ones are passed over, then come those of a fit."""
    return HealingWindows(
        fit=FitWindows(tuple(windows[captured : captured + fit])), ridge=RidgeWindows(tuple(windows[captured + fit :]))
    )
