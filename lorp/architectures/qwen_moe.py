"""Qwen1.5-MoE, Qwen2-MoE and Qwen3-MoE.

Every `decoder_sparse_step`-th block has experts, but for those that `mlp_only_layers` lists, which have one MLP as all
others have. Blocks of Qwen2-MoE have an expert of their own for all tokens besides.
"""

from dataclasses import replace

from lorp.architectures.experts import Experts
from lorp.architectures.family import LLAMA_PROJECTIONS, Family

_CADENCE = (("decoder_sparse_step", "mlp_only_layers"),)

QWEN2_MOE = Family(
    name="Qwen2-MoE",
    model_types=frozenset({"qwen2_moe"}),
    architectures=frozenset({"Qwen2MoeForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(
        LLAMA_PROJECTIONS,
        experts=Experts(
            path="mlp",
            stored_path="mlp",
            router="mlp.gate",
            reads=("mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj", "mlp.shared_expert_gate"),
            writes=("mlp.shared_expert.down_proj",),
        ),
    ),
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
    threshold_fields=("max_window_layers",),
    cadence_fields=_CADENCE,
)

QWEN3_MOE = Family(
    name="Qwen3-MoE",
    model_types=frozenset({"qwen3_moe"}),
    architectures=frozenset({"Qwen3MoeForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(LLAMA_PROJECTIONS, experts=Experts(path="mlp", stored_path="mlp", router="mlp.gate")),
    count_field="num_hidden_layers",
    threshold_fields=("max_window_layers",),
    cadence_fields=_CADENCE,
)
