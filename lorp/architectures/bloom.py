"""BLOOM: every block alike. Published checkpoints name tensors without `transformer.`."""

from lorp.architectures.family import Family, Projections

BLOOM = Family(
    name="BLOOM",
    model_types=frozenset({"bloom"}),
    architectures=frozenset({"BloomForCausalLM"}),
    blocks_path="transformer.h",
    projections=Projections(
        attention_reads=("self_attention.query_key_value",),
        attention_write="self_attention.dense",
        mlp_reads=("mlp.dense_h_to_4h",),
        mlp_write="mlp.dense_4h_to_h",
        norm_after_where=("apply_residual_connection_post_layernorm", True),
    ),
    gives_tuples=True,
    count_field="n_layer",
    count_aliases=("num_hidden_layers",),
)
