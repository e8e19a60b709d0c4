"""Qwen2-VL and Qwen2.5-VL: the blocks of Qwen2, with rotary positions in time, height and width.

Published configs speak of the language model at their top, later ones in `text_config`, and some in both; of the vision
stack in `vision_config` alone. Qwen2.5-VL's vision blocks attend within windows, but for those that
`fullatt_block_indexes` lists, and have MLPs with two maps to read with.
"""

from dataclasses import replace

from lorp.architectures.family import Family, Projections
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
)

QWEN2_5_VL = replace(
    QWEN2_VL,
    name="Qwen2.5-VL",
    model_types=frozenset({"qwen2_5_vl"}),
    architectures=frozenset({"Qwen2_5_VLForConditionalGeneration"}),
)

QWEN2_VL_TOWER = Family(
    name=QWEN2_VL.name,
    model_types=QWEN2_VL.model_types,
    architectures=QWEN2_VL.architectures,
    stack="vision",
    model_class=QWEN2_VL.model_class,
    blocks_path="model.visual.blocks",
    stored_prefixes=QWEN2_VL.stored_prefixes,
    section="vision_config",
    only_in_section=True,
    projections=Projections(
        attention_reads=("attn.qkv",),
        attention_write="attn.proj",
        mlp_reads=("mlp.fc1",),
        mlp_write="mlp.fc2",
    ),
    count_field="depth",
    count_aliases=("num_hidden_layers",),
    default_count=32,
)

QWEN2_5_VL_TOWER = replace(
    QWEN2_VL_TOWER,
    name=QWEN2_5_VL.name,
    model_types=QWEN2_5_VL.model_types,
    architectures=QWEN2_5_VL.architectures,
    projections=replace(
        QWEN2_VL_TOWER.projections, mlp_reads=("mlp.gate_proj", "mlp.up_proj"), mlp_write="mlp.down_proj"
    ),
    index_fields=("fullatt_block_indexes",),
)
