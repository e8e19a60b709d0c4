"""Gemma 3, the language models without vision.

Every `sliding_window_pattern`-th block (the 6th unless given) attends to everything where no `layer_types` says
otherwise; the others attend within a sliding window, with a rotary base of their own.
"""

from dataclasses import replace

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

GEMMA3 = Family(
    name="Gemma 3",
    model_types=frozenset({"gemma3_text"}),
    architectures=frozenset({"Gemma3ForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, norm_after=True),
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
)
