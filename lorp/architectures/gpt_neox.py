"""GPT-NeoX and Pythia: every block alike. Published checkpoints hold causal masks and rotary frequencies."""

from lorp.architectures.family import Family

GPT_NEOX = Family(
    name="GPT-NeoX",
    model_types=frozenset({"gpt_neox"}),
    architectures=frozenset({"GPTNeoXForCausalLM"}),
    blocks_path="gpt_neox.layers",
    stored_names=(("embed_out.weight", "lm_head.weight"),),
    count_field="num_hidden_layers",
)
