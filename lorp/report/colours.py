"""Colours of the report's drawings: a sequential scale for similarity, a palette for clusters."""

from dataclasses import dataclass
from typing import Final

# The viridis scale at equal steps: perceptually uniform, and told apart with any colour vision.
VIRIDIS: Final = (
    "#440154",
    "#48186a",
    "#472d7b",
    "#424086",
    "#3b528b",
    "#33638d",
    "#2c728e",
    "#26828e",
    "#21918c",
    "#1fa088",
    "#28ae80",
    "#3fbc73",
    "#5ec962",
    "#84d44b",
    "#addc30",
    "#d8e219",
    "#fde725",
)

# Okabe and Ito's palette, for any colour vision.
_CLUSTERS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a8f98")


@dataclass(frozen=True, kw_only=True)
class Swatch:
    """A colour and the ink that is read on it."""

    fill: str
    ink: str


def scale_colour(share: float) -> str:
    """The scale's colour at a share of its length, 0 (dark) to 1 (light); shares outside become its ends."""
    position = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    step = min(int(position), len(VIRIDIS) - 2)
    low, high = _channels(VIRIDIS[step]), _channels(VIRIDIS[step + 1])
    mixed = (round(a + (b - a) * (position - step)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def cluster_swatch(cluster: int) -> Swatch:
    """A cluster's colour; after eight clusters colours come again, so that its number must be shown too."""
    fill = _CLUSTERS[cluster % len(_CLUSTERS)]
    return Swatch(fill=fill, ink="#ffffff" if _luminance(fill) < _DARK_INK_FROM else "#10151c")


# Relative luminance at which black and white ink are equally readable (WCAG 2).
_DARK_INK_FROM = 0.179


def _luminance(colour: str) -> float:
    linear = [_linear(channel / 255) for channel in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
