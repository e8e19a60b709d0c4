"""The kinds of stage of a run: what each takes, and what it makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: A kind of stage, and the role of one of its outputs.
Made = tuple[str, str]

_CHECKPOINT: Made = ("fetch", "checkpoint")
_VARIANT: Made = ("prune", "variant")
_WINDOWS: Made = ("windows", "windows")
_SHARD: Made = ("capture", "windows")
_MODELS = (_CHECKPOINT, _VARIANT)
_PLANS: tuple[Made, ...] = (("plan", "plan"), ("search", "plan"))
_SEARCHING: Mapping[str, tuple[Made, ...]] = {
    "checkpoint": (_CHECKPOINT,),
    "similarity": (("score", "similarity"),),
    "clustering": (("cluster", "clustering"),),
    "windows": (_WINDOWS,),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a kind of stage takes and makes.

    Attributes:
        makes: Roles of its outputs.
        takes: What may stand behind those of its inputs that are digests of what others made.
        may_make: Roles of outputs that it may lack.
        may_take: The same of inputs.
    """

    makes: tuple[str, ...]
    takes: Mapping[str, tuple[Made, ...]] = field(default_factory=dict)
    may_make: tuple[str, ...] = ()
    may_take: Mapping[str, tuple[Made, ...]] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "fetch": Kind(makes=("checkpoint",), may_make=("licence",)),
    "corpus": Kind(makes=("rows",)),
    "windows": Kind(makes=("windows",)),
    "capture": Kind(makes=("windows", "states"), takes={"checkpoint": (_CHECKPOINT,), "windows": (_WINDOWS,)}),
    "score": Kind(makes=("similarity",), takes={"windows": (_SHARD,)}),
    "cluster": Kind(makes=("clustering",), takes={"similarity": (("score", "similarity"),)}),
    "questions": Kind(makes=("questions",), may_take={"checkpoint": (_CHECKPOINT,), "windows": (_WINDOWS,)}),
    "plan": Kind(
        makes=("plan",),
        takes={"similarity": _SEARCHING["similarity"], "clustering": _SEARCHING["clustering"]},
    ),
    "resample": Kind(makes=("stability",), takes={"windows": (_SHARD,)}),
    "guess": Kind(makes=("depth", "trials"), takes=_SEARCHING),
    "search": Kind(makes=("plan", "stability", "trials"), takes=_SEARCHING),
    "heal": Kind(
        makes=("patch",),
        takes={"checkpoint": (_CHECKPOINT,), "plan": _PLANS, "windows": (_WINDOWS,)},
        may_make=("weights",),
    ),
    "prune": Kind(
        makes=("variant",),
        takes={"checkpoint": (_CHECKPOINT,), "plan": _PLANS},
        may_take={"weights": (("heal", "weights"),)},
    ),
    "look": Kind(makes=("losses",), takes={"checkpoint": _MODELS, "windows": (_WINDOWS,)}),
    "mixtures": Kind(makes=("mixtures",), takes={"dense": (("look", "losses"),)}),
    "frontier": Kind(makes=("frontier",), takes={"dense": (("look", "losses"),)}),
    "evaluate": Kind(
        makes=("evaluation",),
        takes={"checkpoint": _MODELS, "windows": (_WINDOWS,)},
        may_make=("expert_load",),
    ),
    "answers": Kind(makes=("evaluation",), takes={"checkpoint": _MODELS, "questions": (("questions", "questions"),)}),
    "generate": Kind(makes=("evaluation",), takes={"checkpoint": _MODELS, "windows": (_WINDOWS,)}),
    "speed": Kind(makes=("speed",), takes={"dense": (_CHECKPOINT,), "variant": (_VARIANT,), "windows": (_WINDOWS,)}),
    "gate": Kind(makes=("verdict",), takes={"variant": (_VARIANT,)}),
}
