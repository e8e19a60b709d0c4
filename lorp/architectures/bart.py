"""BART and Whisper, encoder and decoder: every block of a stack alike.

`num_hidden_layers` is another name of the encoder's depth. What blocks do to the state of the source (`encoder_attn`)
is healed by none. Whisper's generation settings list attention heads of its decoder, as pairs of a block and a head,
from which it tells when each word was said.
"""

from dataclasses import replace

from lorp.architectures.family import Family, Projections

_PROJECTIONS = Projections(
    attention_reads=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_write="self_attn.out_proj",
    mlp_reads=("fc1",),
    mlp_write="fc2",
)

BART_ENCODER = Family(
    name="BART",
    model_types=frozenset({"bart"}),
    architectures=frozenset({"BartForConditionalGeneration"}),
    stack="encoder",
    model_class="AutoModelForSeq2SeqLM",
    blocks_path="model.encoder.layers",
    projections=replace(_PROJECTIONS, norm_after=True),
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

WHISPER_ENCODER = Family(
    name="Whisper",
    model_types=frozenset({"whisper"}),
    architectures=frozenset({"WhisperForConditionalGeneration"}),
    stack="encoder",
    model_class="AutoModelForSpeechSeq2Seq",
    blocks_path="model.encoder.layers",
    projections=_PROJECTIONS,
    count_field="encoder_layers",
    count_aliases=("num_hidden_layers",),
)

WHISPER_DECODER = replace(
    WHISPER_ENCODER,
    stack="decoder",
    blocks_path="model.decoder.layers",
    count_field="decoder_layers",
    count_aliases=(),
    generation_pairs=("alignment_heads",),
)
