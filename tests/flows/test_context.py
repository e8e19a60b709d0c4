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


def stacked(family: str, folder: Path) -> Checkpoint:
    case = next(case for case in CASES if case.family == family)
    return open_checkpoint(make_case(case, folder), case.stack)


@pytest.mark.parametrize("family", ["BART", "Whisper"])
def test_what_a_decoder_writes_does_not_come_after_what_its_encoder_reads(family: str, tmp_path: Path) -> None:
    checkpoint = stacked(family, tmp_path / "checkpoint")
    check_context(checkpoint, spec(generation={"max_new_tokens": 128}, speed={"decode_tokens": 127}))
    for changes in ({"generation": {"max_new_tokens": 129}}, {"evaluation": {"window_tokens": 129}}):
        with pytest.raises(SpecError, match="of 129 tokens are longer than the model's context of 128"):
            check_context(checkpoint, spec(**changes))
    with pytest.raises(SpecError, match="timed prompts of 129 tokens"):
        check_context(checkpoint, spec(speed={"decode_tokens": 128}))


def test_a_sound_takes_no_tokens(tmp_path: Path) -> None:
    long = spec(speed={"prefill_tokens": 129, "decode_tokens": 1})
    check_context(stacked("Whisper", tmp_path / "hearing"), long)
    with pytest.raises(SpecError, match="timed prompts of 129 tokens"):
        check_context(stacked("BART", tmp_path / "reading"), long)
