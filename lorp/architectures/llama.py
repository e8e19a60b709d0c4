"""Llama-shaped decoders: Llama 1-3, SmolLM, Mistral, Ministral.

A Mistral config that names `layer_types` is built as a Ministral by transformers, and saved as one.
"""

from lorp.architectures.family import LLAMA_PROJECTIONS, Family

LLAMA = Family(
    name="Llama",
    model_types=frozenset({"llama"}),
    architectures=frozenset({"LlamaForCausalLM"}),
    blocks_path="model.layers",
    projections=LLAMA_PROJECTIONS,
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
)

MISTRAL = Family(
    name="Mistral",
    model_types=frozenset({"mistral"}),
    architectures=frozenset({"MistralForCausalLM"}),
    blocks_path="model.layers",
    projections=LLAMA_PROJECTIONS,
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
)

MINISTRAL = Family(
    name="Ministral",
    model_types=frozenset({"ministral"}),
    architectures=frozenset({"MinistralForCausalLM"}),
    blocks_path="model.layers",
    projections=LLAMA_PROJECTIONS,
    count_field="num_hidden_layers",
    per_block_fields=("layer_types",),
)
