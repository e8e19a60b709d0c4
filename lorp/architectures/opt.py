"""OPT: every block alike. Some published checkpoints name tensors without `model.`."""

from lorp.architectures.family import Family

OPT = Family(
    name="OPT",
    model_types=frozenset({"opt"}),
    architectures=frozenset({"OPTForCausalLM"}),
    blocks_path="model.decoder.layers",
    count_field="num_hidden_layers",
)
