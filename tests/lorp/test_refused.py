"""What is refused is said why; and cut all the same, it would not be the dense model less blocks."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from family_row import INPUT, REMOVALS
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
    "mllama": ("MllamaForConditionalGeneration", {"cross_attention_layers": [1, 4], "bos_token_id": 0}),
    "qwen3_vl": (
        "Qwen3VLForConditionalGeneration",
        {"head_dim": 8, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}},
    ),
}  # fmt: skip
#: What is around the text stack, of those that see.
AROUND: dict[str, dict[str, Any]] = {
    "mllama": {
        "vision_config": {
            "hidden_size": 16, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 2,
            "intermediate_size": 24, "image_size": 8, "patch_size": 4, "vision_output_dim": 32, "max_num_tiles": 1,
            "intermediate_layers_indices": [1], "supported_aspect_ratios": [[1, 1]],
        },
    },
    "qwen3_vl": {
        "vision_config": {
            "depth": 3, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "patch_size": 4,
            "out_hidden_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1],
        },
        "image_token_id": 250, "video_token_id": 251, "vision_start_token_id": 252, "vision_end_token_id": 253,
    },
}  # fmt: skip


def build(model_type: str, **changes: Any) -> Any:
    architecture, settings = MODELS[model_type]
    model_class = getattr(transformers, architecture)
    torch.manual_seed(0)
    text, around = {**_SHARED, **settings, **changes}, AROUND.get(model_type)
    model = model_class(model_class.config_class(**({**around, "text_config": text} if around else text)))
    for name, parameter in model.named_parameters():
        if name.endswith("gate"):  # of cross-attention, which begins at nothing
            parameter.data.fill_(0.5)
    return model.eval()


def path_of(model_type: str) -> str:
    return "model.language_model.layers" if model_type in AROUND else "model.layers"


def said(model: Any) -> torch.Tensor:
    """Logits, with an image where that is needed to see the difference."""
    prompt: dict[str, torch.Tensor] = {"input_ids": INPUT}
    if model.config.model_type == "qwen3_vl":
        prompt = {"input_ids": torch.tensor([[3, 5, *[250] * 4, *range(40, 60)]])}
        prompt["mm_token_type_ids"] = (prompt["input_ids"] == 250).long()
        pixels = torch.randn(16, 3 * 2 * 4 * 4, generator=torch.Generator().manual_seed(0))
        prompt |= {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, 4, 4]])}
    with torch.inference_mode():
        logits: torch.Tensor = model(**prompt).logits
    return logits


def cut(model_type: str, dense: Any, removed: tuple[int, ...]) -> Any:
    """The model of the kept blocks, renumbered, with depth and kinds of blocks that follow."""
    kept = [block for block in range(NUM_BLOCKS) if block not in removed]
    kinds = MODELS[model_type][1].get("layer_types")
    changes = {} if kinds is None else {"layer_types": [kinds[block] for block in kept]}
    variant = build(model_type, num_hidden_layers=len(kept), **changes)

    path = path_of(model_type)

    def renamed(name: str) -> str | None:
        found = re.match(rf"{re.escape(path)}\.(\d+)\.(.*)", name)
        if found is None:
            return name
        return f"{path}.{kept.index(int(found[1]))}.{found[2]}" if int(found[1]) in kept else None

    weights = {renamed(name): tensor for name, tensor in dense.state_dict().items()}
    variant.load_state_dict({name: tensor for name, tensor in weights.items() if name})
    return variant


def skipped(model: Any, removed: tuple[int, ...]) -> torch.Tensor:
    blocks = model.get_submodule(path_of(model.config.model_type))
    for block in removed:
        blocks[block].forward = lambda hidden_states, *_, **__: hidden_states
    try:
        return said(model)
    finally:
        for block in removed:
            del blocks[block].forward


@pytest.mark.parametrize("model_type", MODELS)
def test_a_refused_model_without_blocks_would_not_be_the_dense_one_less_these(model_type: str) -> None:
    dense = build(model_type)

    def is_right(removed: tuple[int, ...]) -> bool:
        wanted = skipped(dense, removed)
        try:
            return torch.equal(said(cut(model_type, dense, removed)), wanted)
        except (RuntimeError, ValueError):  # its weights do not fit
            return False

    assert is_right(())
    assert not all(is_right(removed) for removed in REMOVALS)


def test_blocks_that_attend_to_an_image_do_not_run_on_text() -> None:
    dense = build("mllama")
    assert torch.equal(skipped(dense, (1, 4)), said(dense))
    assert not torch.equal(skipped(dense, (2,)), said(dense))


def test_every_refusal_is_shown() -> None:
    assert all(refusal.model_types & set(MODELS) for refusal in REFUSED)


@pytest.mark.parametrize("model_type", sorted(kind for refusal in REFUSED for kind in refusal.model_types))
def test_a_refusal_gives_its_reason(pico_copy: Path, model_type: str) -> None:
    edit_json(pico_copy / "config.json", model_type=model_type)
    reason = next(refusal.reason for refusal in REFUSED if model_type in refusal.model_types)
    with pytest.raises(UnknownArchitectureError, match=f"cannot be pruned: {reason}"):
        open_checkpoint(pico_copy)
