"""The families that lorp can prune. A new one is a file here and a line in `FAMILIES`."""

from collections.abc import Mapping
from typing import Any

from lorp.architectures.family import Family
from lorp.architectures.llama import LLAMA, MISTRAL
from lorp.errors import UnknownArchitectureError

FAMILIES: tuple[Family, ...] = (LLAMA, MISTRAL)

__all__ = ["FAMILIES", "Family", "family_of"]


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a parsed `config.json`.

    Raises:
        UnknownArchitectureError: None fits; names those that are known.
    """
    model_type, listed = config.get("model_type"), config.get("architectures")
    architectures = listed if isinstance(listed, list) else []
    for family in FAMILIES:
        if str(model_type) in family.model_types and {*map(str, architectures)} <= family.architectures:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    shown = ", ".join(map(str, architectures)) or "no architectures"
    raise UnknownArchitectureError(
        f"model_type {model_type!r} with {shown} is no architecture that lorp can prune (known: {known})",
        "Choose a checkpoint of a known one, or describe this one in a file of lorp/architectures",
    )
