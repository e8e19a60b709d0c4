"""LLaVA 1.5 and LLaVA-NeXT (1.6): a language model of another family that takes an image's features as tokens.

Published configs leave out of `text_config` what is that family's default, the number of blocks too.

The vision stack is CLIP's or SigLIP's, whose blocks have the same parts. `vision_feature_layer` says which of its
states are taken as features: as the blocks leave them, unless `tie_last_hidden_states` puts the last through a norm.
"""

from dataclasses import replace

from lorp.architectures.family import Family, Obstacle, Projections
from lorp.architectures.llama import LLAMA, MISTRAL
from lorp.architectures.qwen2 import QWEN2

#: Of CLIP and SigLIP, whose published names have a part that transformers leaves out.
VISION_PREFIXES = (
    ("vision_tower.vision_model.", "model.vision_tower."),
    ("vision_tower.", "model.vision_tower."),
    ("model.vision_tower.vision_model.", "model.vision_tower."),
)

_TEXTS = (LLAMA, MISTRAL, QWEN2)
_VISION_TYPES = ("vision_config", frozenset({"clip_vision_model", "siglip_vision_model"}))

_NORMED = Obstacle(
    field="tie_last_hidden_states",
    reason="which of its vision stack's states goes through a norm before it is used depends on their number",
)


def _around(text: Family, name: str, model_type: str, architecture: str) -> Family:
    """The family of models whose language model is of the family `text`."""
    return replace(
        text,
        name=f"{name} around {text.name}",
        model_types=frozenset({model_type}),
        architectures=frozenset({architecture}),
        model_class="AutoModelForImageTextToText",
        blocks_path="model.language_model.layers",
        stored_names=(("language_model.lm_head.weight", "lm_head.weight"),),
        stored_prefixes=(("language_model.model.", "model.language_model."), *VISION_PREFIXES),
        section="text_config",
        section_types=(("text_config", text.model_types), _VISION_TYPES),
        default_count=32,
    )


def tower_beside(text: Family, name: str) -> Family:
    """The vision stack, CLIP's or SigLIP's, of the models whose text stack this is."""
    return Family(
        name=name,
        model_types=text.model_types,
        architectures=text.architectures,
        stack="vision",
        model_class=text.model_class,
        blocks_path="model.vision_tower.encoder.layers",
        stored_names=text.stored_names,
        stored_prefixes=text.stored_prefixes,
        section="vision_config",
        only_in_section=True,
        section_types=text.section_types,
        projections=Projections(
            attention_reads=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            attention_write="self_attn.out_proj",
            mlp_reads=("mlp.fc1",),
            mlp_write="mlp.fc2",
        ),
        count_field="num_hidden_layers",
        default_count=12,
    )


def _tower_of_all(texts: tuple[Family, ...], name: str) -> Family:
    """The vision stack that models around any of these text stacks have."""
    text_types = frozenset(kind for text in _TEXTS for kind in text.model_types)
    return replace(
        tower_beside(texts[0], name),
        section_types=(("text_config", text_types), _VISION_TYPES),
        state_fields=(("vision_feature_layer", -2),),
        obstacles=(_NORMED,),
    )


LLAVA = tuple(_around(text, "LLaVA", "llava", "LlavaForConditionalGeneration") for text in _TEXTS)
LLAVA_NEXT = tuple(_around(text, "LLaVA-NeXT", "llava_next", "LlavaNextForConditionalGeneration") for text in _TEXTS)

LLAVA_TOWER = _tower_of_all(LLAVA, "LLaVA")
LLAVA_NEXT_TOWER = _tower_of_all(LLAVA_NEXT, "LLaVA-NeXT")
