"""Qwen2, Qwen2.5 and Qwen3, dense.

Blocks from `max_window_layers` on attend within a sliding window where `use_sliding_window` is set and no
`layer_types` says otherwise.
"""

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

QWEN2 = Family(
    name="Qwen2",
    model_types=frozenset({"qwen2"}),
    architectures=frozenset({"Qwen2ForCausalLM"}),
    blocks_path="model.layers",
    projections=LLAMA_PROJECTIONS,
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
    threshold_fields=("max_window_layers",),
)

QWEN3 = Family(
    name="Qwen3",
    model_types=frozenset({"qwen3"}),
    architectures=frozenset({"Qwen3ForCausalLM"}),
    blocks_path="model.layers",
    projections=LLAMA_PROJECTIONS,
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
    threshold_fields=("max_window_layers",),
)
