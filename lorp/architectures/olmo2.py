"""OLMo 2: every block alike."""

from dataclasses import replace

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

OLMO2 = Family(
    name="OLMo 2",
    model_types=frozenset({"olmo2"}),
    architectures=frozenset({"Olmo2ForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, norm_after=True),
    count_field="num_hidden_layers",
)
