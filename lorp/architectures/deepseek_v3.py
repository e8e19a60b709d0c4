"""DeepSeek-V3 and R1: blocks from `first_k_dense_replace` on have experts.

Published checkpoints hold one block more, by which a further token can be predicted at once. It was trained after the
last block of the whole model; a variant does without.
"""

from dataclasses import replace

from lorp.architectures.experts import Experts
from lorp.architectures.family import LLAMA_PROJECTIONS, Family

DEEPSEEK_V3 = Family(
    name="DeepSeek-V3",
    model_types=frozenset({"deepseek_v3"}),
    architectures=frozenset({"DeepseekV3ForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(
        LLAMA_PROJECTIONS,
        attention_reads=("self_attn.q_proj", "self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa"),
        experts=Experts(
            path="mlp",
            stored_path="mlp",
            router="mlp.gate",
            reads=("mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj"),
            writes=("mlp.shared_experts.down_proj",),
        ),
    ),
    count_field="num_hidden_layers",
    threshold_fields=("first_k_dense_replace",),
    extra_blocks_fields=("num_nextn_predict_layers", "num_mtp_layers"),
)
