"""SmolLM3.

Every `no_rope_layer_interval`-th block has no rotary embedding where no `no_rope_layers` says otherwise; a stale list
loads and gives other logits. `layer_types` follows from it unless given. Its published config names
`max_window_layers` too, which transformers does not use.
"""

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

SMOLLM3 = Family(
    name="SmolLM3",
    model_types=frozenset({"smollm3"}),
    architectures=frozenset({"SmolLM3ForCausalLM"}),
    blocks_path="model.layers",
    projections=LLAMA_PROJECTIONS,
    count_field="num_hidden_layers",
    per_block_fields=("no_rope_layers", "layer_types"),
    threshold_fields=("max_window_layers",),
)
