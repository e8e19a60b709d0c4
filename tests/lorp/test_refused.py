"""What is refused is said why; and cut all the same, it would not be the dense model less blocks."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from family_row import REMOVALS, logits
from pico import NUM_BLOCKS, edit_json

from lorp.architectures.refused import REFUSED
from lorp.checkpoint import open_checkpoint
from lorp.errors import UnknownArchitectureError

_SHARED = {
    "vocab_size": 256, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": NUM_BLOCKS,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "tie_word_embeddings": False,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
_SHARING = {
    "head_dim": 8, "num_kv_shared_layers": 2, "vocab_size_per_layer_input": 256, "hidden_size_per_layer_input": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 3, "sliding_window": 8,
}  # fmt: skip
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "diffllama": ("DiffLlamaForCausalLM", {}),
    "gemma3n_text": ("Gemma3nForCausalLM", {**_SHARING, "laurel_rank": 4}),
    "gemma4_text": ("Gemma4ForCausalLM", {**_SHARING, "global_head_dim": 8}),
    "jamba": (
        "JambaForCausalLM",
        {
            "num_experts": 2, "num_experts_per_tok": 1, "attn_layer_period": 3, "attn_layer_offset": 1,
            "use_mamba_kernels": False, "mamba_d_state": 4, "mamba_dt_rank": 4,
        },
    ),
    "ernie4_5_moe": (
        "Ernie4_5_MoeForCausalLM",
        {
            "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16, "moe_layer_interval": 2,
            "moe_layer_start_index": 1, "moe_num_shared_experts": 1,
        },
    ),
}  # fmt: skip


def build(model_type: str, **changes: Any) -> Any:
    architecture, settings = MODELS[model_type]
    model_class = getattr(transformers, architecture)
    torch.manual_seed(0)
    return model_class(model_class.config_class(**{**_SHARED, **settings, **changes})).eval()


def cut(model_type: str, dense: Any, removed: tuple[int, ...]) -> Any:
    """The model of the kept blocks, renumbered, with depth and kinds of blocks that follow."""
    kept = [block for block in range(NUM_BLOCKS) if block not in removed]
    kinds = MODELS[model_type][1].get("layer_types")
    changes = {} if kinds is None else {"layer_types": [kinds[block] for block in kept]}
    variant = build(model_type, num_hidden_layers=len(kept), **changes)

    def renamed(name: str) -> str | None:
        found = re.match(r"model\.layers\.(\d+)\.(.*)", name)
        if found is None:
            return name
        return f"model.layers.{kept.index(int(found[1]))}.{found[2]}" if int(found[1]) in kept else None

    weights = {renamed(name): tensor for name, tensor in dense.state_dict().items()}
    variant.load_state_dict({name: tensor for name, tensor in weights.items() if name})
    return variant


def skipped(model: Any, removed: tuple[int, ...]) -> torch.Tensor:
    for block in removed:
        model.model.layers[block].forward = lambda hidden_states, *_, **__: hidden_states
    try:
        return logits(model)
    finally:
        for block in removed:
            del model.model.layers[block].forward


@pytest.mark.parametrize("model_type", MODELS)
def test_a_refused_model_without_blocks_would_not_be_the_dense_one_less_these(model_type: str) -> None:
    dense = build(model_type)

    def is_right(removed: tuple[int, ...]) -> bool:
        wanted = skipped(dense, removed)
        try:
            return torch.equal(logits(cut(model_type, dense, removed)), wanted)
        except (RuntimeError, ValueError):  # its weights do not fit
            return False

    assert is_right(())
    assert not all(is_right(removed) for removed in REMOVALS)


def test_every_refusal_is_shown() -> None:
    assert all(refusal.model_types & set(MODELS) for refusal in REFUSED)


@pytest.mark.parametrize("model_type", sorted(kind for refusal in REFUSED for kind in refusal.model_types))
def test_a_refusal_gives_its_reason(pico_copy: Path, model_type: str) -> None:
    edit_json(pico_copy / "config.json", model_type=model_type)
    reason = next(refusal.reason for refusal in REFUSED if model_type in refusal.model_types)
    with pytest.raises(UnknownArchitectureError, match=f"cannot be pruned: {reason}"):
        open_checkpoint(pico_copy)
