"""OLMo 2: every block alike."""

from lorp.architectures.family import Family

OLMO2 = Family(
    name="OLMo 2",
    model_types=frozenset({"olmo2"}),
    architectures=frozenset({"Olmo2ForCausalLM"}),
    blocks_path="model.layers",
    count_field="num_hidden_layers",
)
