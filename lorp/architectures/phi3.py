"""Phi-3, Phi-3.5 and Phi-4, dense: every block alike.

The lists in its rotary settings (`short_factor`, `long_factor`) have an entry a rotary dimension, not a block.
"""

from lorp.architectures.family import Family, Projections

PHI3 = Family(
    name="Phi-3",
    model_types=frozenset({"phi3"}),
    architectures=frozenset({"Phi3ForCausalLM"}),
    blocks_path="model.layers",
    projections=Projections(
        attention_reads=("self_attn.qkv_proj",),
        attention_write="self_attn.o_proj",
        mlp_reads=("mlp.gate_up_proj",),
        mlp_write="mlp.down_proj",
    ),
    count_field="num_hidden_layers",
)
