"""T5 and Flan-T5, encoder and decoder.

The first block of a stack holds the position biases that all blocks of that stack add to their attention: they stay
first, whichever block goes. Without `num_decoder_layers` both stacks are equally deep. What blocks do to the state of
the source (`EncDecAttention`) is healed by none.
"""

from dataclasses import replace

from lorp.architectures.family import Family, Projections

_POSITIONS = (r"layer\.0\.SelfAttention\.relative_attention_bias\.weight",)
_GENERATES = "transformers cannot generate with a T5 whose decoder is the deeper one"


def _projections(mlp: int) -> Projections:
    """Of blocks whose part of this number is the MLP; it has two maps to read with, or one."""
    return Projections(
        attention_reads=("layer.0.SelfAttention.q", "layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
        attention_write="layer.0.SelfAttention.o",
        mlp_reads=tuple(f"layer.{mlp}.DenseReluDense.{name}" for name in ("wi", "wi_0", "wi_1")),
        mlp_write=f"layer.{mlp}.DenseReluDense.wo",
    )


T5_ENCODER = Family(
    name="T5",
    model_types=frozenset({"t5"}),
    architectures=frozenset({"T5ForConditionalGeneration"}),
    stack="encoder",
    model_class="AutoModelForSeq2SeqLM",
    blocks_path="encoder.block",
    shared_in_blocks=_POSITIONS,
    projections=_projections(mlp=1),
    gives_tuples=True,
    hands_on=2,
    count_field="num_layers",
    count_aliases=("num_hidden_layers",),
    at_least_as_deep=_GENERATES,
)

T5_DECODER = replace(
    T5_ENCODER,
    stack="decoder",
    blocks_path="decoder.block",
    projections=_projections(mlp=2),
    count_field="num_decoder_layers",
    count_aliases=(),
    count_fallback="num_layers",
    at_least_as_deep=None,
)
