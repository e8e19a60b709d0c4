"""A streamed model is the model that is loaded as a whole, with no more than one block in memory."""

from pathlib import Path

import pytest
import torch
from families import CASES, Case, make_case
from family_row import INPUT, logits
from torch import nn

from lorp.body import Body
from lorp.models import load_model, stream_model
from lorp.spec import ComputeSpec, DType


def present(block: nn.Module) -> bool:
    """Whether its weights are in memory."""
    return any(0 not in parameter.stride() for parameter in block.parameters() if parameter.numel() > 1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_says_what_the_loaded_model_says(tmp_path: Path, case: Case, dtype: DType) -> None:
    source, compute = make_case(case, tmp_path), ComputeSpec(dtype=dtype)
    streamed, loaded = stream_model(source, compute), load_model(source, compute)
    assert torch.equal(logits(streamed), logits(loaded))
    body = Body(streamed, case.data)
    assert not any(present(block) for block in body.blocks)
    with torch.inference_mode():
        state = body.embedded(INPUT)
        for block in range(body.num_blocks):
            assert not any(present(each) for each in body.blocks)
            with body.held(block):
                assert [present(each) for each in body.blocks].count(True) == 1
                state = body.step(block, state)
        assert torch.equal(body.logits(INPUT, state), logits(loaded))
