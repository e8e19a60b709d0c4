"""Families whose blocks cannot be renumbered, with the reason; a test shows of each that it would be another model."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A family that lorp does not prune.

    Attributes:
        name: As people call it.
        model_types: `model_type` values of its configs.
        reason: What stands in the way, in the words of an error.
    """

    name: str
    model_types: frozenset[str]
    reason: str


REFUSED: tuple[Refusal, ...] = (
    Refusal(
        name="DiffLlama",
        model_types=frozenset({"diffllama"}),
        reason="how much of one attention a block subtracts from the other follows from its index",
    ),
    Refusal(
        name="Gemma 3n",
        model_types=frozenset({"gemma3n", "gemma3n_text"}),
        reason="its last blocks use the keys and values of earlier ones, and one embedding holds a part for each block",
    ),
    Refusal(
        name="Gemma 4",
        model_types=frozenset({"gemma4", "gemma4_text"}),
        reason="its last blocks use the keys and values of earlier ones, and one embedding holds a part for each block",
    ),
    Refusal(
        name="Jamba",
        model_types=frozenset({"jamba"}),
        reason="which blocks attend and which have experts is a period in its config, which the kept ones do not keep",
    ),
    Refusal(
        name="ERNIE 4.5 MoE",
        model_types=frozenset({"ernie4_5_moe"}),
        reason="which blocks have experts is an interval in its config, which the kept ones do not keep",
    ),
    Refusal(
        name="Mllama",
        model_types=frozenset({"mllama"}),
        reason="its blocks that attend to an image do not run on text, by which blocks are compared",
    ),
    Refusal(
        name="Qwen3-VL",
        model_types=frozenset({"qwen3_vl", "qwen3_vl_moe"}),
        reason="an image is added to its state again after each of the first blocks, whichever these are",
    ),
)


def refusal_of(model_type: str) -> Refusal | None:
    """Why a model of this type is not pruned, if that is known."""
    return next((refusal for refusal in REFUSED if model_type in refusal.model_types), None)
