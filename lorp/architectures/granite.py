"""Granite, dense: every block alike, and what blocks write is scaled by one factor before it is added."""

from dataclasses import replace

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

GRANITE = Family(
    name="Granite",
    model_types=frozenset({"granite"}),
    architectures=frozenset({"GraniteForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, scale_field="residual_multiplier"),
    count_field="num_hidden_layers",
)
