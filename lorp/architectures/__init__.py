"""The families that lorp can prune. A new one is a file here and a line in `FAMILIES`."""

import re
from collections.abc import Mapping
from typing import Any

from lorp.architectures.bart import BART_DECODER, BART_ENCODER, WHISPER_DECODER, WHISPER_ENCODER
from lorp.architectures.bloom import BLOOM
from lorp.architectures.deepseek_v3 import DEEPSEEK_V3
from lorp.architectures.falcon import FALCON
from lorp.architectures.family import Family
from lorp.architectures.gemma2 import GEMMA2
from lorp.architectures.gemma3 import GEMMA3, GEMMA3_TOWER, GEMMA3_VISION
from lorp.architectures.glm import GLM, GLM4
from lorp.architectures.gpt2 import GPT2
from lorp.architectures.gpt_neox import GPT_NEOX
from lorp.architectures.granite import GRANITE
from lorp.architectures.llama import LLAMA, MINISTRAL, MISTRAL
from lorp.architectures.llava import LLAVA, LLAVA_NEXT, LLAVA_NEXT_TOWER, LLAVA_TOWER
from lorp.architectures.mixtral import MIXTRAL
from lorp.architectures.olmo2 import OLMO2
from lorp.architectures.olmo3 import OLMO3
from lorp.architectures.olmoe import OLMOE
from lorp.architectures.opt import OPT
from lorp.architectures.phi3 import PHI3
from lorp.architectures.qwen2 import QWEN2, QWEN3
from lorp.architectures.qwen2_vl import QWEN2_5_VL, QWEN2_5_VL_TOWER, QWEN2_VL, QWEN2_VL_TOWER
from lorp.architectures.qwen_moe import QWEN2_MOE, QWEN3_MOE
from lorp.architectures.refused import refusal_of
from lorp.architectures.smollm3 import SMOLLM3
from lorp.architectures.t5 import T5_DECODER, T5_ENCODER
from lorp.errors import SpecError, UnknownArchitectureError
from lorp.plan import Stack, called

FAMILIES: tuple[Family, ...] = (
    LLAMA, MISTRAL, MINISTRAL, QWEN2, QWEN3, GEMMA2, GEMMA3, OLMO2, OLMO3, PHI3, SMOLLM3, GLM, GLM4, GRANITE,
    GPT2, GPT_NEOX, OPT, BLOOM, FALCON, MIXTRAL, QWEN2_MOE, QWEN3_MOE, OLMOE, DEEPSEEK_V3,
    *LLAVA, *LLAVA_NEXT, QWEN2_VL, QWEN2_5_VL, GEMMA3_VISION,
    LLAVA_TOWER, LLAVA_NEXT_TOWER, QWEN2_VL_TOWER, QWEN2_5_VL_TOWER, GEMMA3_TOWER,
    T5_ENCODER, T5_DECODER, BART_ENCODER, BART_DECODER, WHISPER_ENCODER, WHISPER_DECODER,
)  # fmt: skip

__all__ = ["FAMILIES", "Family", "check_stack", "families_of", "family_of"]


def family_of(config: Mapping[str, Any], stack: Stack | None = None) -> Family:
    """The family of a parsed `config.json`.

    Args:
        config: It.
        stack: Which; unless given, the one that continues a text, or an encoder-decoder's decoder.

    Raises:
        UnknownArchitectureError: As `families_of` does.
        SpecError: It has no such stack.
    """
    found = families_of(config)
    wanted = stack or ("decoder" if found[0].is_encoder_decoder else None)
    for family in found:
        if family.stack == wanted:
            return family
    if len(found) == 1:
        raise SpecError(f"{found[0].name} is one stack of blocks and has no {called(wanted)}", "Leave --stack out")
    stacks = " and ".join(family.stack or "text" for family in found)
    raise SpecError(f"{found[0].name} has no {called(wanted)}: its stacks are {stacks}", _choice(found))


def check_stack(family: Family, stack: Stack | None) -> None:
    """Refuses an encoder-decoder of which no stack is named.

    Raises:
        SpecError: With what to say instead.
    """
    if family.is_encoder_decoder and stack is None:
        raise SpecError(f"{family.name} has two stacks of blocks", "Say which with --stack encoder, decoder or both")


def _choice(found: tuple[Family, ...]) -> str:
    """What to say of `--stack` where a model has these."""
    named = " or ".join(f"--stack {family.stack}" for family in found if family.stack)
    return f"Say {named}" if found[0].stack else f"Leave --stack out for the text stack, or say {named}"


def families_of(config: Mapping[str, Any]) -> tuple[Family, ...]:
    """What is known of each stack of a parsed `config.json`'s model.

    Raises:
        UnknownArchitectureError: It cannot be pruned, with the reason; or none fits, with those that are known and the
            file to add.
    """
    model_type, listed = str(config.get("model_type")), config.get("architectures")
    if refusal := refusal_of(model_type):
        raise UnknownArchitectureError(
            f"{refusal.name} cannot be pruned: {refusal.reason}",
            "Choose a checkpoint of another family (docs/families.md lists them)",
        )
    architectures = listed if isinstance(listed, list) else []
    found = tuple(
        family
        for family in FAMILIES
        if model_type in family.model_types
        and {*map(str, architectures)} <= family.architectures
        and family.fits(config)
    )
    if found:
        return found
    known = ", ".join(dict.fromkeys(family.name for family in FAMILIES))
    shown = ", ".join([*map(str, architectures), *_inner_types(model_type, config)]) or "no architectures"
    module = model_type if re.fullmatch(r"[a-z0-9_]{1,64}", model_type) else "<model_type>"
    raise UnknownArchitectureError(
        f"model_type {model_type!r} with {shown} is no architecture that lorp can prune (known: {known})",
        f"Choose a checkpoint of a known one, or describe it in lorp/architectures/{module}.py "
        "(docs/design.md says how)",
    )


def _inner_types(model_type: str, config: Mapping[str, Any]) -> list[str]:
    """What is said of the sections by which families of one type differ."""
    types = next((family.types_in(config) for family in FAMILIES if model_type in family.model_types), {})
    return [f"{section} of model_type {found!r}" for section, found in types.items()]
