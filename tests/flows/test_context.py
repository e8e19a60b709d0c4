"""What is longer than a model's context is refused, whatever its config calls the context."""

from pathlib import Path

import pytest
from families import CASES, make_case

from flows.checks import check_context
from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.errors import SpecError
from lorp.spec import RecompressSpec


@pytest.fixture(params=["Llama", "GPT-2", "OPT", "LLaVA around Llama"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    """A checkpoint with a context of 128 tokens."""
    case = next(case for case in CASES if case.family == request.param)
    return open_checkpoint(make_case(case, tmp_path / "checkpoint"))


def spec(**changes: object) -> RecompressSpec:
    return RecompressSpec.model_validate(
        {
            "source": "x",
            "pruning": {"remove": 1},
            "calibration": {"window_tokens": 128},
            "evaluation": {"window_tokens": 128},
            "speed": {"prefill_tokens": 32},
            **changes,
        }
    )


def test_what_fits_is_taken(checkpoint: Checkpoint) -> None:
    check_context(checkpoint, spec())
    check_context(checkpoint, spec(speed={"repeats": 0}, generation={"num_prompts": 0, "max_new_tokens": 999}))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"evaluation": {"window_tokens": 129}}, "--window-tokens"),
        ({"generation": {"max_new_tokens": 97}}, "--generation-tokens"),
        ({"speed": {"prefill_tokens": 121}}, "--speed-tokens"),
    ],
)
def test_what_does_not_is_refused(checkpoint: Checkpoint, changes: dict[str, object], option: str) -> None:
    with pytest.raises(SpecError, match=f"context of 128.*{option}"):
        check_context(checkpoint, spec(**changes))
