"""BART and Whisper, encoder and decoder: every block of a stack alike.

`num_hidden_layers` is another name of the encoder's depth. What blocks do to the state of the source (`encoder_attn`)
is healed by none. Whisper's generation settings list attention heads of its decoder, as pairs of a block and a head,
from which it tells when each word was said.
"""

from dataclasses import replace

from lorp.architectures.family import Family, Projections

BART_ENCODER = Family(
    name="BART",
    model_types=frozenset({"bart"}),
    architectures=frozenset({"BartForConditionalGeneration"}),
    stack="encoder",
    model_class="AutoModelForSeq2SeqLM",
    blocks_path="model.encoder.layers",
    projections=Projections(
        attention_reads=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_write="self_attn.out_proj",
        mlp_reads=("fc1",),
        mlp_write="fc2",
        norm_after=True,
    ),
    count_field="encoder_layers",
    count_aliases=("num_hidden_layers",),
)

BART_DECODER = replace(
    BART_ENCODER,
    stack="decoder",
    blocks_path="model.decoder.layers",
    count_field="decoder_layers",
    count_aliases=(),
)


def _whisper(stack: Family) -> Family:
    """The same stack of Whisper, whose norms come first."""
    return replace(
        stack,
        name="Whisper",
        model_types=frozenset({"whisper"}),
        architectures=frozenset({"WhisperForConditionalGeneration"}),
        model_class="AutoModelForSpeechSeq2Seq",
        projections=replace(stack.projections, norm_after=False),
    )


WHISPER_ENCODER = _whisper(BART_ENCODER)

WHISPER_DECODER = replace(_whisper(BART_DECODER), generation_pairs=("alignment_heads",))
