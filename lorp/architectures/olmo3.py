"""OLMo 3.

Every fourth block attends to everything where no `layer_types` says otherwise; the others attend within a window.
"""

from dataclasses import replace

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

OLMO3 = Family(
    name="OLMo 3",
    model_types=frozenset({"olmo3"}),
    architectures=frozenset({"Olmo3ForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, norm_after=True),
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
)
