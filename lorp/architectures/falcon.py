"""Falcon: every block alike, in one of four builds.

Some blocks run attention and MLP one after the other (`parallel_attn` false), which is healed as if side by side: what
attention writes stays as it is.
"""

from lorp.architectures.family import Family, Projections

FALCON = Family(
    name="Falcon",
    model_types=frozenset({"falcon"}),
    architectures=frozenset({"FalconForCausalLM"}),
    blocks_path="transformer.h",
    projections=Projections(
        attention_reads=("self_attention.query_key_value",),
        attention_write="self_attention.dense",
        mlp_reads=("mlp.dense_h_to_4h",),
        mlp_write="mlp.dense_4h_to_h",
        parallel=True,
    ),
    gives_tuples=True,
    count_field="num_hidden_layers",
)
