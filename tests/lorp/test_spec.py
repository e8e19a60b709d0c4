"""Specs: only what can be meant is accepted, and a count means the same everywhere."""

import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from lorp.depth import resolve_count
from lorp.errors import CountError
from lorp.names import without_paths
from lorp.spec import (
    CalibrationSpec,
    ComputeSpec,
    EvaluationSpec,
    GateSpec,
    PruningSpec,
    RecompressSpec,
)

PRUNING = {"remove": 3}
HUB = "hf://datasets/o/n@main/en:train#text"
SPECS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (CalibrationSpec, {}),
    (PruningSpec, PRUNING),
    (EvaluationSpec, {}),
    (GateSpec, {}),
    (ComputeSpec, {}),
    (RecompressSpec, {"source": "model", "pruning": PRUNING}),
]


@pytest.mark.parametrize(
    ("remove", "num_blocks", "count"),
    [
        (1, 3, 1),
        (1, 30, 1),
        (7, 32, 7),
        (28, 30, 28),
        (0.1, 30, 3),
        (0.22, 32, 7),
        (0.11, 30, 3),
        (0.12, 30, 4),
        (0.93, 30, 28),
        (0.001, 30, 1),
        (5e-324, 3, 1),
    ],
)
def test_a_count_is_itself_and_a_share_the_nearest_count_but_at_least_one(
    remove: float, num_blocks: int, count: int
) -> None:
    resolved = resolve_count(remove, num_blocks)
    assert (resolved, type(resolved)) == (count, int)


@pytest.mark.parametrize("remove", [0, -1, -7, 29, 30, 31, 1 << 70])
def test_the_first_and_the_last_block_always_stay(remove: int) -> None:
    with pytest.raises(CountError, match=r"Remove 1 to 28 blocks"):
        resolve_count(remove, 30)


@pytest.mark.parametrize("remove", [0.0, -0.0, -0.1, 1.0, 3.0, 1.5, math.nan, math.inf, -math.inf])
def test_what_is_no_share_is_refused(remove: float) -> None:
    with pytest.raises(CountError, match="no share of depth"):
        resolve_count(remove, 30)


@pytest.mark.parametrize("share", [0.97, 0.99, 1 - 2**-53])
def test_a_share_that_leaves_less_than_both_ends_is_refused(share: float) -> None:
    with pytest.raises(CountError, match="cannot be removed"):
        resolve_count(share, 30)


@pytest.mark.parametrize("num_blocks", [0, 1, 2])
@pytest.mark.parametrize("remove", [1, 0.5])
def test_a_model_without_a_middle_has_no_block_to_spare(num_blocks: int, remove: float) -> None:
    with pytest.raises(CountError, match="none to spare"):
        resolve_count(remove, num_blocks)


def test_every_count_that_keeps_both_ends_is_accepted() -> None:
    assert [resolve_count(count, 12) for count in range(1, 11)] == list(range(1, 11))


@pytest.mark.parametrize("remove", [True, False, "3", "0.5", None, [3]])
def test_only_a_number_can_say_how_much_to_remove(remove: object) -> None:
    with pytest.raises(ValidationError):
        PruningSpec.model_validate({"remove": remove})


@pytest.mark.parametrize("remove", [1, 1.0])
def test_one_block_and_the_whole_depth_stay_apart(remove: float) -> None:
    assert type(PruningSpec(remove=remove).remove) is type(remove)
    assert type(PruningSpec.model_validate_json(PruningSpec(remove=remove).model_dump_json()).remove) is type(remove)


@pytest.mark.parametrize(("kind", "given"), SPECS)
def test_a_key_that_is_not_known_is_refused(kind: type[BaseModel], given: dict[str, Any]) -> None:
    kind.model_validate(given)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.model_validate({**given, "sede": 1})


def test_a_key_that_is_not_known_is_refused_inside_too() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        RecompressSpec.model_validate({"source": "model", "pruning": {**PRUNING, "clusters": 3}})


@pytest.mark.parametrize(("kind", "given"), SPECS)
def test_a_spec_cannot_be_changed(kind: type[BaseModel], given: dict[str, Any]) -> None:
    spec = kind.model_validate(given)
    for field in kind.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(spec, field, getattr(spec, field))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (CalibrationSpec, {"num_windows": 0}),
        (CalibrationSpec, {"window_tokens": 1}),
        (CalibrationSpec, {"sampled_tokens": 0}),
        (CalibrationSpec, {"corpora": []}),
        (CalibrationSpec, {"corpora": [""]}),
        (CalibrationSpec, {"corpora": "pydoc"}),
        (CalibrationSpec, {"packing": "tight"}),
        (CalibrationSpec, {"seed": -1}),
        (CalibrationSpec, {"seed": 1 << 32}),
        (EvaluationSpec, {"num_windows": 0}),
        (EvaluationSpec, {"window_tokens": 1}),
        (PruningSpec, {**PRUNING, "method": "lorpp"}),
        (PruningSpec, {**PRUNING, "clustering": "kmeans"}),
        (PruningSpec, {**PRUNING, "criterion": "variance"}),
        (PruningSpec, {**PRUNING, "num_clusters": 0}),
        (GateSpec, {"max_perplexity_ratio": 0}),
        (GateSpec, {"max_perplexity_ratio": math.nan}),
        (GateSpec, {"max_perplexity_ratio": math.inf}),
        (GateSpec, {"max_perplexity": -1}),
        (GateSpec, {"max_perplexity": math.inf}),
        (GateSpec, {"confidence": 1}),
        (GateSpec, {"confidence": 0.5}),
        (GateSpec, {"confidence": math.nan}),
        (ComputeSpec, {"dtype": "int8"}),
        (RecompressSpec, {"source": "", "pruning": PRUNING}),
        (RecompressSpec, {"source": "model", "pruning": PRUNING, "name": "../up"}),
        (RecompressSpec, {"source": "model", "pruning": PRUNING, "name": "line\n"}),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(kind: type[BaseModel], given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(given)


def test_a_spec_comes_back_from_its_json() -> None:
    spec = RecompressSpec.model_validate({"source": "model", "pruning": {"remove": 0.25}})
    assert RecompressSpec.model_validate_json(spec.model_dump_json()) == spec


def test_without_paths_keeps_names_and_everything_else() -> None:
    spec = RecompressSpec(
        source="/home/someone/models/small",
        name="small-pruned",
        pruning=PruningSpec(remove=3),
        calibration=CalibrationSpec(corpora=("/home/someone/texts/a.txt", "/home/b.jsonl#c"), seed=7),
        evaluation=EvaluationSpec(corpora=("../texts/b.txt", HUB), num_windows=40),
    )
    assert without_paths(spec) == RecompressSpec(
        source="small",
        name="small-pruned",
        pruning=PruningSpec(remove=3),
        calibration=CalibrationSpec(corpora=("a.txt", "b.jsonl#c"), seed=7),
        evaluation=EvaluationSpec(corpora=("b.txt", HUB), num_windows=40),
    )
    assert spec.source == "/home/someone/models/small"


def test_without_paths_leaves_what_names_no_path() -> None:
    spec = RecompressSpec(source="small", pruning=PruningSpec(remove=3))
    assert without_paths(spec) == spec
    assert without_paths(spec.model_copy(update={"source": "models/small/"})) == spec


def test_names_that_are_alike_are_told_apart_by_number() -> None:
    spec = RecompressSpec(source="m", calibration=CalibrationSpec(corpora=("a/x.txt", "y.txt", "b/x.txt")))
    assert without_paths(spec).calibration.corpora == ("1: x.txt", "y.txt", "3: x.txt")
