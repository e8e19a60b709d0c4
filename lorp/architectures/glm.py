"""GLM-4, dense: every block alike. Those of April 2025 (`glm4`) have norms after what blocks write too."""

from dataclasses import replace

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

_PROJECTIONS = replace(LLAMA_PROJECTIONS, mlp_reads=("mlp.gate_up_proj",))

GLM = Family(
    name="GLM-4",
    model_types=frozenset({"glm"}),
    architectures=frozenset({"GlmForCausalLM"}),
    blocks_path="model.layers",
    projections=_PROJECTIONS,
    count_field="num_hidden_layers",
)

GLM4 = Family(
    name="GLM-4-0414",
    model_types=frozenset({"glm4"}),
    architectures=frozenset({"Glm4ForCausalLM"}),
    blocks_path="model.layers",
    projections=replace(_PROJECTIONS, norm_after=True),
    count_field="num_hidden_layers",
)
