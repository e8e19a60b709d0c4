"""LLaVA 1.5 and LLaVA-NeXT (1.6): a language model of another family that takes an image's features as tokens.

Published configs leave out of `text_config` what is that family's default, the number of blocks too.
"""

from dataclasses import replace

from lorp.architectures.family import Family
from lorp.architectures.llama import LLAMA, MISTRAL
from lorp.architectures.qwen2 import QWEN2

#: Of CLIP and SigLIP, whose published names have a part that transformers leaves out.
VISION_PREFIXES = (
    ("vision_tower.vision_model.", "model.vision_tower."),
    ("vision_tower.", "model.vision_tower."),
    ("model.vision_tower.vision_model.", "model.vision_tower."),
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
        section_types=(
            ("text_config", text.model_types),
            ("vision_config", frozenset({"clip_vision_model", "siglip_vision_model"})),
        ),
        other_counts=(("vision_config", "num_hidden_layers"),),
        default_count=32,
    )


LLAVA = tuple(_around(text, "LLaVA", "llava", "LlavaForConditionalGeneration") for text in (LLAMA, MISTRAL, QWEN2))
LLAVA_NEXT = tuple(
    _around(text, "LLaVA-NeXT", "llava_next", "LlavaNextForConditionalGeneration") for text in (LLAMA, MISTRAL, QWEN2)
)
