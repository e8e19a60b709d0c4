"""OLMoE: every block alike, each with experts."""

from dataclasses import replace

from lorp.architectures.experts import Experts
from lorp.architectures.family import LLAMA_PROJECTIONS, Family

OLMOE = Family(
    name="OLMoE",
    model_types=frozenset({"olmoe"}),
    architectures=frozenset({"OlmoeForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, experts=Experts(path="mlp", stored_path="mlp", router="mlp.gate")),
    count_field="num_hidden_layers",
)
