"""Gemma 3, with vision and without.

Every `sliding_window_pattern`-th block (the 6th unless given) attends to everything where no `layer_types` says
otherwise; the others attend within a sliding window, with a rotary base of their own. The vision stack is SigLIP's, and
what leaves its last block is used.
"""

from dataclasses import replace

from lorp.architectures.family import LLAMA_PROJECTIONS, Family
from lorp.architectures.llava import VISION_PREFIXES, tower_beside

GEMMA3 = Family(
    name="Gemma 3",
    model_types=frozenset({"gemma3_text"}),
    architectures=frozenset({"Gemma3ForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, norm_after=True),
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
)

GEMMA3_VISION = replace(
    GEMMA3,
    name="Gemma 3 with vision",
    model_types=frozenset({"gemma3"}),
    architectures=frozenset({"Gemma3ForConditionalGeneration"}),
    model_class="AutoModelForImageTextToText",
    blocks_path="model.language_model.layers",
    stored_names=(("language_model.lm_head.weight", "lm_head.weight"),),
    stored_prefixes=(("language_model.model.", "model.language_model."), *VISION_PREFIXES),
    section="text_config",
    section_types=(("vision_config", frozenset({"siglip_vision_model"})),),
)

GEMMA3_TOWER = tower_beside(GEMMA3_VISION, "Gemma 3 with vision")
