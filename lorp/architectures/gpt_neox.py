"""GPT-NeoX and Pythia: every block alike. Published checkpoints hold causal masks and rotary frequencies."""

from lorp.architectures.family import Family, Projections

GPT_NEOX = Family(
    name="GPT-NeoX",
    model_types=frozenset({"gpt_neox"}),
    architectures=frozenset({"GPTNeoXForCausalLM"}),
    blocks_path="gpt_neox.layers",
    projections=Projections(
        attention_reads=("attention.query_key_value",),
        attention_write="attention.dense",
        mlp_reads=("mlp.dense_h_to_4h",),
        mlp_write="mlp.dense_4h_to_h",
        parallel=True,
    ),
    stored_names=(("embed_out.weight", "lm_head.weight"),),
    count_field="num_hidden_layers",
)
