"""GPT-2: every block alike. Published checkpoints name tensors without `transformer.`, and hold causal masks."""

from lorp.architectures.family import Family, Obstacle, Projections

GPT2 = Family(
    name="GPT-2",
    model_types=frozenset({"gpt2"}),
    architectures=frozenset({"GPT2LMHeadModel"}),
    blocks_path="transformer.h",
    projections=Projections(
        attention_reads=("attn.c_attn",),
        attention_write="attn.c_proj",
        mlp_reads=("mlp.c_fc",),
        mlp_write="mlp.c_proj",
        transposed=True,
    ),
    count_field="n_layer",
    count_aliases=("num_hidden_layers",),
    obstacles=(
        Obstacle(
            field="scale_attn_by_inverse_layer_idx",
            reason="each of its blocks divides attention by its own index, so that a renumbered one computes otherwise",
        ),
    ),
)
