"""From what a family's models make a text."""

from lorp.architectures.family import Family
from lorp.corpus.media import PairKind

#: The class of models that make a text of a sound.
SPEECH = "AutoModelForSpeechSeq2Seq"

_READ: dict[str, PairKind] = {
    "AutoModelForSeq2SeqLM": "text",
    SPEECH: "sound",
    "AutoModelForImageTextToText": "image",
}


def pairs_for(family: Family, given: bool) -> PairKind | None:
    """The pairs that a stack takes; None where it takes text by itself.

    Args:
        family: And stack.
        given: Whether there are pairs: the text stack of a model that sees takes both.
    """
    kind = _READ.get(family.model_class)
    return None if kind == "image" and family.stack is None and not given else kind
