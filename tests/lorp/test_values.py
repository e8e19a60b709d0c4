"""Values <-> canonical JSON: what was encoded comes back equal, and anything else is refused."""

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest

from lorp.clustering import Clustering
from lorp.errors import IntegrityError
from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.gate import CriterionResult, Verdict
from lorp.plan import Removal, plan_of
from lorp.similarity import Similarity
from lorp.values import decode, encode

PLAN = plan_of("lorp", 5, [Removal(block=3, cluster=1, score=0.1 + 0.2), Removal(block=1, cluster=None, score=-1.0)])
VALUES = [
    PLAN,
    Clustering(kind="spectral", labels=(0, 0, 1)),
    Similarity(
        boundaries=((1.0, 1 / 3), (1 / 3, 1.0)),
        rls=0.1,
        rls_low=5e-324,
        rls_high=1e300,
        num_windows=2,
        num_tokens=512,
        num_documents=1,
    ),
    PerplexityEvaluation(
        checkpoint="c" * 64,
        windows_sha256="w" * 64,
        num_expected=2,
        losses=(
            WindowLoss(window="é@0", document="é", num_predicted=255, loss=3.0),
            WindowLoss(window="é@256", document="é", num_predicted=255, loss=None),
        ),
    ),
    Verdict(
        variant="v" * 64,
        evaluation="e" * 64,
        gate="g" * 64,
        approved=False,
        criteria=(CriterionResult(name="r", value=None, bound=None, budget=1.5, passed=False, reason="too few"),),
    ),
]


@dataclass(frozen=True, kw_only=True)
class Number:
    number: float


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    assert decode(type(value), encode(value)) == value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_decoding_and_encoding_again_gives_the_same_bytes(value: Any) -> None:
    assert encode(decode(type(value), encode(value))) == encode(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_not_encoded(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(Number(number=number))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        encode(PLAN)[:-1],
        json.dumps({**json.loads(encode(PLAN)), "num_blocks": "many"}).encode(),
        json.dumps({**json.loads(encode(PLAN)), "removed": None}).encode(),
        json.dumps({**json.loads(encode(PLAN)), "removed": [1, 2]}).encode(),
        json.dumps({**json.loads(encode(PLAN)), "num_blocks": 3}).encode(),
    ],
    ids=[
        "empty",
        "no JSON",
        "no UTF-8",
        "a list",
        "null",
        "no field",
        "cut short",
        "a wrong type",
        "a null",
        "removed blocks that are not the steps'",
        "a block that the model lacks",
    ],
)
def test_bytes_that_are_no_such_value_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no PruningPlan"):
        decode(type(PLAN), data)
