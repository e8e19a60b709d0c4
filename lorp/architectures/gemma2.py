"""Gemma 2.

Every second block attends to everything where no `layer_types` says otherwise; the others attend within a window.
"""

from dataclasses import replace

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

GEMMA2 = Family(
    name="Gemma 2",
    model_types=frozenset({"gemma2"}),
    architectures=frozenset({"Gemma2ForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, norm_after=True),
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
)
