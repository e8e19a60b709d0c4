"""Choices that are counted are those of the routers, window by window, and are kept with the capture."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from families import CASES, Case, make_case
from pico import NUM_BLOCKS
from transformers import PreTrainedModel

from lorp.architectures import LLAMA
from lorp.capture import capture_windows
from lorp.corpus import Window
from lorp.expert_load import counting_choices, effective_experts, moved_share
from lorp.models import load_model
from lorp.parquet import decode_windows, encode_windows
from lorp.spec import ComputeSpec

WITH_LOGITS = {"Mixtral: own head", "OLMoE: own head", "Qwen3-MoE: tied head, some blocks without experts"}


def window(seed: int, length: int = 40) -> Window:
    tokens = np.random.default_rng(seed).integers(0, 256, length).tolist()
    return Window(id=f"d{seed}@0", document=f"d{seed}", text_sha256="0" * 64, tokens=tuple(tokens))


WINDOWS = [window(0), window(1), window(2, 30)]


def chosen(model: PreTrainedModel, window: Window) -> dict[int, list[int]]:
    """Choices by block, from what transformers says of its routers."""
    with torch.inference_mode():
        logits = model(torch.tensor([window.tokens]), output_router_logits=True).router_logits
    blocks = [index for index, block in enumerate(model.model.layers) if hasattr(block.mlp, "experts")]
    counts = {}
    for block, of_block in zip(blocks, logits, strict=True):
        choices = of_block.topk(model.config.num_experts_per_tok, dim=-1).indices
        counts[block] = torch.bincount(choices.flatten(), minlength=of_block.shape[-1]).tolist()
    return counts


@pytest.mark.parametrize("case", [case for case in CASES if str(case) in WITH_LOGITS], ids=str)
def test_loads_are_what_routers_chose_in_each_window(tmp_path: Path, case: Case) -> None:
    model = load_model(make_case(case, tmp_path), ComputeSpec())
    captures = capture_windows(model, case.data, WINDOWS, sampled_tokens=2, seed=0)
    with counting_choices(model, case.data) as choices, torch.inference_mode():
        for each in WINDOWS:
            model(torch.tensor([each.tokens]))
    assert choices
    total = np.zeros((NUM_BLOCKS, 4), dtype=int)
    for capture in captures:
        expected = np.zeros((NUM_BLOCKS, 4), dtype=int)
        for block, counts in chosen(model, capture.window).items():
            expected[block] = counts
        assert expected.sum() > 0
        assert capture.expert_loads_NE is not None
        assert capture.expert_loads_NE.tolist() == expected.tolist()
        total += expected
    assert choices.total == tuple(tuple(row.tolist()) if row.any() else () for row in total)
    data = encode_windows(captures, {})
    stored = pq.read_table(pa.BufferReader(data))["expert_loads"].combine_chunks().to_numpy_ndarray()
    assert stored.tolist() == [capture.expert_loads_NE.tolist() for capture in captures]
    assert decode_windows(data).ids == tuple(each.id for each in WINDOWS)


def test_a_model_without_experts_has_no_loads(pico: Path) -> None:
    model = load_model(pico, ComputeSpec())
    [capture] = capture_windows(model, LLAMA, WINDOWS[:1], sampled_tokens=2, seed=0)
    assert capture.expert_loads_NE is None
    assert "expert_loads" not in pq.read_table(pa.BufferReader(encode_windows([capture], {}))).column_names


def test_effective_experts_and_moved_share() -> None:
    assert effective_experts((5, 5, 5, 5)) == pytest.approx(4)
    assert effective_experts((7, 0, 0, 0)) == pytest.approx(1)
    assert effective_experts((1, 3)) == pytest.approx(4 / 3**0.75)
    assert moved_share((2, 2), (20, 20)) == 0
    assert moved_share((4, 0), (0, 1)) == 1
    assert moved_share((3, 1), (1, 1)) == pytest.approx(0.25)
