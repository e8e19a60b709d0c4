"""Windows by their one use: what chose or fitted something must not judge it."""

from dataclasses import dataclass

from lorp.corpus.documents import Window


@dataclass(frozen=True)
class FitWindows:
    """Windows that healing is fitted on."""

    windows: tuple[Window, ...]


@dataclass(frozen=True)
class RidgeWindows:
    """Windows that choose how strongly a fit is held back."""

    windows: tuple[Window, ...]
