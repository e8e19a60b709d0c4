"""Mixtral: every block has experts, and nothing else in the MLP's place."""

from dataclasses import replace

from lorp.architectures.experts import Experts
from lorp.architectures.family import LLAMA_PROJECTIONS, Family

MIXTRAL = Family(
    name="Mixtral",
    model_types=frozenset({"mixtral"}),
    architectures=frozenset({"MixtralForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(
        LLAMA_PROJECTIONS,
        experts=Experts(path="mlp", stored_path="block_sparse_moe", stored_maps=("w1", "w3", "w2"), router="mlp.gate"),
    ),
    count_field="num_hidden_layers",
)
