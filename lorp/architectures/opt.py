"""OPT: every block alike. Some published checkpoints name tensors without `model.`."""

from lorp.architectures.family import Family, Projections

OPT = Family(
    name="OPT",
    model_types=frozenset({"opt"}),
    architectures=frozenset({"OPTForCausalLM"}),
    blocks_path="model.decoder.layers",
    projections=Projections(
        attention_reads=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_write="self_attn.out_proj",
        mlp_reads=("fc1",),
        mlp_write="fc2",
        norm_after_where=("do_layer_norm_before", False),
    ),
    count_field="num_hidden_layers",
)
