"""A capture's sums held against its sampled states: were they taken from the same hidden states?

Sums are over all T tokens of a window, states are kept of K of them. What is exact: which tokens were sampled, that a
boundary is as alike to itself as tokens there are, and that the T - K others have cosines between -1 and 1. Where
images are read with text, also how many tokens are text, and the same of either kind alone. The rest is statistics: the
mean over sampled tokens is that over all tokens but for chance.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lorp.capture import sampled_positions
from lorp.corpus import Window
from lorp.parquet import SampledStates, WindowSums
from lorp.plan import Stack

#: Standard errors by which two means may differ; over some thousand pairs of boundaries chance does not reach it.
MAX_ERRORS = 6.0
#: Tokens a window unlike all others, as the first one often is, that sampling may have missed.
RARE_TOKENS = 2
#: Of a cosine, from unit vectors that were kept in float16.
ROUNDING = 2e-3

Cosines = NDArray[np.float64]


def capture_fault(
    windows: Mapping[str, Window],
    shards: Iterable[tuple[WindowSums, SampledStates]],
    sampled_tokens: int,
    seed: int,
    stack: Stack | None = None,
) -> str | None:
    """What of a capture cannot be; None if nothing is found.

    Args:
        windows: The windows that were captured, by id.
        shards: Sums and states, shard by shard; one is held at a time.
        sampled_tokens: Tokens that were to be sampled of each window.
        seed: Of the sampling.
        stack: Which was captured, where there are several; None of the one that continues a text.
    """
    sizes: dict[str, int] = {}
    differences: dict[str, Cosines] = {}
    variances: dict[str, Cosines] = {}
    for sums, states in shards:
        for row, name in enumerate(sums.ids):
            if name not in windows or name in differences:
                return f"window {name} was not to be captured, or twice"
            rows = [place for place, of in enumerate(states.windows) if of == name]
            known, captured = windows[name].num_states(stack), int(sums.num_tokens[row])
            tokens = sizes[name] = captured if known is None else known
            expected = sampled_positions(windows[name], tokens, sampled_tokens, seed) if tokens > 0 else None
            if states.positions_R[rows].tolist() != expected or captured != tokens:
                return f"window {name} was not sampled as its seed says"
            if sums.documents[row] != windows[name].document:
                return f"window {name} is of another document"
            sampled_KLL = _cosines(states.units_RLD[rows])
            total_LL = sums.cosine_sums_WLL[row]
            if not _possible(total_LL, sampled_KLL, tokens) or not _kinds_fit(windows[name], sums, row, stack):
                return f"the sums of window {name} cannot be those of its states"
            differences[name] = sampled_KLL.mean(axis=0) - total_LL / tokens
            left = 1 - len(rows) / tokens
            spread_LL = sampled_KLL.var(axis=0, ddof=1) if len(rows) > 1 else np.ones_like(total_LL)
            variances[name] = spread_LL / len(rows) * left
    if differences.keys() != windows.keys():
        return "not all windows that were to be captured were"
    return _bias(np.stack(list(differences.values())), np.stack(list(variances.values())), list(sizes.values()))


def _cosines(units_KLD: NDArray[np.float16]) -> Cosines:
    """Of each sampled token's states, boundary by boundary: K x L x L."""
    units = units_KLD.astype(np.float64)
    units /= np.linalg.norm(units, axis=-1, keepdims=True)
    cosines: Cosines = units @ units.transpose(0, 2, 1)
    return cosines


def _possible(total_LL: Cosines, sampled_KLL: Cosines, tokens: int) -> bool:
    others = tokens - len(sampled_KLL)
    rest_LL = total_LL - sampled_KLL.sum(axis=0)
    fits = np.abs(rest_LL).max() <= others + ROUNDING * tokens
    alike = np.abs(np.diagonal(total_LL) - tokens).max() <= ROUNDING * tokens
    return bool(np.isfinite(total_LL).all() and fits and alike)


def _kinds_fit(window: Window, sums: WindowSums, row: int, stack: Stack | None) -> bool:
    """Whether a text stack's image and text tokens are as many, and as alike to themselves, as an image's can be.

    All but one of a window's own tokens are text; that one stands for the image.
    """
    if window.medium is None or window.medium.kind != "image" or stack is not None:
        return sums.num_image_tokens is None
    if sums.num_image_tokens is None or sums.image_sums_WLL is None:
        return False
    image, text, image_LL = int(sums.num_image_tokens[row]), len(window.tokens) - 1, sums.image_sums_WLL[row]
    alike = _alike(image_LL, image) and _alike(sums.cosine_sums_WLL[row] - image_LL, text)
    return image > 0 and image + text == int(sums.num_tokens[row]) and alike


def _alike(sums_LL: Cosines, tokens: int) -> bool:
    """Whether these can be sums over so many tokens of cosines."""
    off = np.abs(np.diagonal(sums_LL) - tokens).max()
    return bool(np.isfinite(sums_LL).all() and max(np.abs(sums_LL).max() - tokens, off) <= ROUNDING * (tokens + 1))


def _bias(differences_WLL: Cosines, variances_WLL: Cosines, tokens_W: Sequence[int]) -> str | None:
    count = len(differences_WLL)
    mean_LL, error_LL = differences_WLL.mean(axis=0), np.sqrt(variances_WLL.sum(axis=0)) / count
    missed = np.mean([2 * RARE_TOKENS / tokens for tokens in tokens_W])
    excess_LL = np.abs(mean_LL) - MAX_ERRORS * error_LL - missed - ROUNDING
    if excess_LL.max() <= 0:
        return None
    one, other = np.unravel_index(int(excess_LL.argmax()), excess_LL.shape)
    return (
        f"the mean cosine between boundaries {one} and {other} is {mean_LL[one, other]:+.3f} from that of its "
        "sampled states, more than sampling explains"
    )
