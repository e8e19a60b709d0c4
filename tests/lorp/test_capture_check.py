"""A capture's sums against its sampled states: what belongs together passes, what was made up is found."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lorp.capture import sampled_positions
from lorp.capture_check import capture_fault
from lorp.corpus import Window
from lorp.parquet import SampledStates, WindowSums

TOKENS, BOUNDARIES, FEATURES, SEED = 64, 5, 32, 3
WINDOWS = {
    f"d{number}@0": Window(
        id=f"d{number}@0", document=f"d{number}", text_sha256=f"{number:064x}", tokens=tuple(range(TOKENS))
    )
    for number in range(12)
}


def captured(sampled: int, outlier: bool = False) -> tuple[WindowSums, SampledStates]:
    """What a capture keeps of random states that drift with depth; with an outlier the first token is unlike all."""
    draw = np.random.default_rng(0)
    sums, positions, units, of = [], [], [], []
    for window in WINDOWS.values():
        steps = draw.normal(size=(TOKENS, BOUNDARIES, FEATURES)).cumsum(axis=1)
        states = draw.normal(size=(TOKENS, 1, FEATURES)) * 3 + steps
        if outlier:
            states[0] = np.eye(BOUNDARIES, FEATURES)
        unit = states / np.linalg.norm(states, axis=-1, keepdims=True)
        sums.append(np.einsum("tld,tmd->lm", unit, unit))
        chosen = sampled_positions(window, len(window.tokens), sampled, SEED)
        positions += chosen
        units += list(unit[chosen])
        of += [window.id] * len(chosen)
    return (
        WindowSums(
            ids=tuple(WINDOWS),
            documents=tuple(window.document for window in WINDOWS.values()),
            num_tokens=np.full(len(WINDOWS), TOKENS),
            cosine_sums_WLL=np.stack(sums),
        ),
        SampledStates(
            windows=tuple(of), positions_R=np.array(positions, np.int32), units_RLD=np.array(units).astype(np.float16)
        ),
    )


def fault(sums: WindowSums, states: SampledStates, sampled: int = 8, seed: int = SEED) -> str | None:
    return capture_fault(WINDOWS, [(sums, states)], sampled, seed)


@pytest.mark.parametrize("sampled", [1, 2, 8, TOKENS])
@pytest.mark.parametrize("outlier", [False, True])
def test_what_belongs_together_passes(sampled: int, outlier: bool) -> None:
    assert fault(*captured(sampled, outlier), sampled=sampled) is None


def test_sums_that_were_moved_are_found() -> None:
    sums, states = captured(8)
    off = 0.25 * TOKENS * (1 - np.eye(BOUNDARIES))
    moved = replace(sums, cosine_sums_WLL=sums.cosine_sums_WLL - off)
    assert "more than sampling explains" in str(fault(moved, states))


def test_where_all_tokens_are_sampled_a_small_change_is_found() -> None:
    sums, states = captured(TOKENS)
    values = sums.cosine_sums_WLL.copy()
    values[3, 1, 2] += 0.5
    changed = replace(sums, cosine_sums_WLL=values)
    assert fault(changed, states, sampled=TOKENS) == "the sums of window d3@0 cannot be those of its states"


def _sums(**changes: Any) -> tuple[WindowSums, SampledStates]:
    sums, states = captured(8)
    return replace(sums, **changes), states


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"documents": ("x",) * len(WINDOWS)}, "is of another document"),
        ({"num_tokens": np.full(len(WINDOWS), TOKENS + 1)}, "was not sampled as its seed says"),
        ({"ids": ("d0@0",) * len(WINDOWS)}, "was not to be captured, or twice"),
        ({"ids": tuple(WINDOWS)[:-1]}, "not all windows that were to be captured were"),
        ({"cosine_sums_WLL": np.full((len(WINDOWS), BOUNDARIES, BOUNDARIES), np.nan)}, "cannot be those of its states"),
        ({"cosine_sums_WLL": np.zeros((len(WINDOWS), BOUNDARIES, BOUNDARIES))}, "cannot be those of its states"),
    ],
)
def test_what_cannot_be_is_found(changes: dict[str, Any], said: str) -> None:
    assert said in str(fault(*_sums(**changes)))


def test_tokens_that_another_seed_would_sample_are_found() -> None:
    assert "was not sampled as its seed says" in str(fault(*captured(8), seed=SEED + 1))
