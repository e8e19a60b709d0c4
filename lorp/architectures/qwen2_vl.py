"""Qwen2-VL and Qwen2.5-VL: the blocks of Qwen2, with rotary positions in time, height and width.

Published configs speak of the language model at their top, later ones in `text_config`, and some in both.
"""

from dataclasses import replace

from lorp.architectures.qwen2 import QWEN2

QWEN2_VL = replace(
    QWEN2,
    name="Qwen2-VL",
    model_types=frozenset({"qwen2_vl"}),
    architectures=frozenset({"Qwen2VLForConditionalGeneration"}),
    model_class="AutoModelForImageTextToText",
    blocks_path="model.language_model.layers",
    stored_prefixes=(("model.", "model.language_model."),),
    section="text_config",
    other_counts=(("vision_config", "depth"), ("vision_config", "num_hidden_layers")),
)

QWEN2_5_VL = replace(
    QWEN2_VL,
    name="Qwen2.5-VL",
    model_types=frozenset({"qwen2_5_vl"}),
    architectures=frozenset({"Qwen2_5_VLForConditionalGeneration"}),
)
