"""Every way in which an evaluation can be another than the gate was to judge, as edits of sound ones."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from random import Random
from typing import Any

from evidence import OTHER, Bench, Evaluations

Edit = Callable[[Any], None]

_LISTS = {"": "losses", "_tasks": "items", "_generation": "continuations"}
_NAMES = {"": "windows_sha256", "_tasks": "tasks_sha256", "_generation": "windows_sha256"}
_NO_NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, None, "3.0", [], {}, True, 10**400)
_WRONG: tuple[Any, ...] = (None, 3, "x", [], {}, [None], {"a": 1})
#: What both models say of a window, a question or a prompt, and values that are not theirs.
_TOLD: dict[str, dict[str, tuple[Any, ...]]] = {
    "": {"window": ("x", ""), "document": ("x", "own"), "num_predicted": (1, 0, -1, 9, 10**6, 10**30)},
    "_tasks": {
        "item": ("x",), "cluster": ("x", "own"), "task": ("x",), "label": (-1, 7, "flip"), "metric": ("acc", "x"),
        "lengths": ([1, 9], [0, 0], [1], [1, 2, 3], []),
    },
    "_generation": {"prompt": ("x", ""), "document": ("x", "own"), "tokens": ("x", [1.5], None)},
}  # fmt: skip


def forgeries(bench: Bench, draw: Random) -> Iterator[tuple[str, Evaluations]]:
    """All of them, each by its name; where they strike is drawn."""
    for suffix, kind in _LISTS.items():
        strange = bench.other_questions if suffix == "_tasks" else bench.other_windows
        for who in (("dense",), ("pruned",), ("dense", "pruned")):
            roles = tuple(f"{model}{suffix}" for model in who)
            place, other = draw.sample(range(len(bench.sound[roles[0]][kind])), 2)
            yield from _of_lists(bench, _Edits(roles=roles, suffix=suffix, place=place, other=other, strange=strange))
    yield from _of_numbers(bench, draw)
    yield from _of_models(bench)
    yield from _of_others(bench)
    yield from _of_speed(bench, draw)


def _copy(bench: Bench) -> Evaluations:
    return copy.deepcopy(bench.sound)


@dataclass(frozen=True, kw_only=True)
class _Edits:
    """Edits of one kind of evaluation, of one model or of both in the same way.

    Attributes:
        roles: Whose.
        suffix: Which kind, as roles end.
        place: Of the entry that is edited.
        other: Of another.
        strange: Digest of other windows or questions.
    """

    roles: tuple[str, ...]
    suffix: str
    place: int
    other: int
    strange: str

    @property
    def kind(self) -> str:
        """Where the entries are."""
        return _LISTS[self.suffix]

    def every(self, length: int) -> Iterator[tuple[str, Edit]]:
        """All edits, by name."""
        for act in (_fewer, _dropped, _counted_down, _twice, _added, _reordered):
            yield act.__name__, partial(act, kind=self.kind, place=self.place, other=self.other)
        for sha256 in (self.strange, OTHER, "", "../values/x", 7):
            yield f"of {sha256!r:.20}", partial(_set, name=_NAMES[self.suffix], value=sha256)
        for number in (0, -1, length - 1, length + 1, "40", None, 1.5):
            yield f"num_expected {number!r}", partial(_set, name="num_expected", value=number)
        for wrong in _WRONG:
            yield f"{self.kind} {wrong!r}", partial(_set, name=self.kind, value=wrong)
            yield f"an entry {wrong!r}", partial(_put, kind=self.kind, place=self.place, value=wrong)
        for field, values in _TOLD[self.suffix].items():
            for told in values:
                yield f"{field} {told!r}", partial(_tell, kind=self.kind, field=field, told=told, place=self.place)
            yield f"no {field}", partial(_lose, kind=self.kind, field=field, place=self.place)


def _of_lists(bench: Bench, edits: _Edits) -> Iterator[tuple[str, Evaluations]]:
    length = len(bench.sound[edits.roles[0]][edits.kind])
    for name, edit in edits.every(length):
        evaluations = _copy(bench)
        for role in edits.roles:
            edit(evaluations[role])
        yield f"{'+'.join(edits.roles)}: {name.strip('_')}", evaluations


def _fewer(evaluation: Any, kind: str, place: int, other: int) -> None:
    del evaluation[kind][place:]
    evaluation["num_expected"] = len(evaluation[kind])


def _dropped(evaluation: Any, kind: str, place: int, other: int) -> None:
    del evaluation[kind][place]


def _counted_down(evaluation: Any, kind: str, place: int, other: int) -> None:
    del evaluation[kind][place]
    evaluation["num_expected"] -= 1


def _twice(evaluation: Any, kind: str, place: int, other: int) -> None:
    evaluation[kind][place] = copy.deepcopy(evaluation[kind][other])


def _added(evaluation: Any, kind: str, place: int, other: int) -> None:
    evaluation[kind].append(copy.deepcopy(evaluation[kind][place]))
    evaluation["num_expected"] += 1


def _reordered(evaluation: Any, kind: str, place: int, other: int) -> None:
    entries = evaluation[kind]
    entries[place], entries[other] = entries[other], entries[place]


def _set(evaluation: Any, name: str, value: Any) -> None:
    evaluation[name] = value


def _put(evaluation: Any, kind: str, place: int, value: Any) -> None:
    evaluation[kind][place] = value


def _lose(evaluation: Any, kind: str, field: str, place: int) -> None:
    del evaluation[kind][place][field]


def _tell(evaluation: Any, kind: str, field: str, told: Any, place: int) -> None:
    """`own`: each its own, so that they seem to be independent. `flip`: the other of two."""
    for number, item in enumerate(evaluation[kind]):
        if told == "own":
            item[field] = f"own/{number}"
        elif number == place:
            item[field] = 1 - item[field] if told == "flip" else told


def _of_numbers(bench: Bench, draw: Random) -> Iterator[tuple[str, Evaluations]]:
    """What is no number where one was measured."""
    for role in ("dense", "pruned"):
        for wrong in (*_NO_NUMBERS, -1.0, -1e308):
            evaluations = _copy(bench)
            draw.choice(evaluations[role]["losses"])["loss"] = wrong
            yield f"{role}: loss {wrong!r:.20}", evaluations
        for wrong in _NO_NUMBERS:
            evaluations = _copy(bench)
            draw.choice(evaluations[f"{role}_tasks"]["items"])["loglikelihoods"][draw.randrange(2)] = wrong
            yield f"{role}: log-likelihood {wrong!r:.20}", evaluations


def _of_models(bench: Bench) -> Iterator[tuple[str, Evaluations]]:
    """Another model's."""
    for suffix in _LISTS:
        evaluations = _copy(bench)
        dense, pruned = f"dense{suffix}", f"pruned{suffix}"
        evaluations[dense], evaluations[pruned] = evaluations[pruned], evaluations[dense]
        yield f"swapped{suffix}", evaluations
        for role, own in ((dense, pruned), (pruned, dense)):
            evaluations = _copy(bench)
            evaluations[role] = evaluations[own]
            yield f"{own} twice", evaluations
            evaluations = _copy(bench)
            evaluations[role]["checkpoint"] = OTHER
            yield f"{role} of another", evaluations
    for model in ("dense", "pruned"):
        evaluations = _copy(bench)
        for suffix in _LISTS:
            evaluations[f"{model}{suffix}"]["checkpoint"] = OTHER
        evaluations["speed"][model] = OTHER
        yield f"all of another {model}", evaluations
    for role in bench.sound:
        if role not in ("dense", "pruned"):
            yield f"no {role}", {name: value for name, value in _copy(bench).items() if name != role}


def _of_others(bench: Bench) -> Iterator[tuple[str, Evaluations]]:
    """Sound ones, but not of the windows or questions that were asked for: some of them, and all."""
    roles = [role for role in bench.sound if role != "speed"]
    both = [[f"{model}{suffix}" for model in ("dense", "pruned")] for suffix in _LISTS]
    for others in ([role] for role in roles):
        yield f"other {others[0]}", {**_copy(bench), **{role: bench.other[role] for role in others}}
    for count in range(1, len(both) + 1):
        for kinds in combinations(both, count):
            others = [role for kind in kinds for role in kind]
            yield f"other {'+'.join(others)}", {**_copy(bench), **{role: bench.other[role] for role in others}}


def _of_speed(bench: Bench, draw: Random) -> Iterator[tuple[str, Evaluations]]:
    def speed(**changes: Any) -> Evaluations:
        evaluations = _copy(bench)
        evaluations["speed"] |= changes
        return evaluations

    sound = bench.sound["speed"]
    for model in ("dense", "pruned"):
        yield f"speed: {model} of another", speed(**{model: OTHER})
        for wrong in (*_NO_NUMBERS, 0.0, -1.0, -0.0):
            for field in ("prefill", "decode"):
                evaluations = speed()
                draw.choice(evaluations["speed"]["rounds"])[model][field] = wrong
                yield f"speed: {model} {field} {wrong!r:.20}", evaluations
        for wrong in (0, -1, 10**30, None, "x", math.nan):
            memory = {**sound[f"{model}_memory"], "weights": wrong}
            yield f"speed: {model} weights {wrong!r}", speed(**{f"{model}_memory": memory})
    yield "speed: swapped", speed(dense=sound["pruned"], pruned=sound["dense"])
    for count in (0, 1, 4):
        yield f"speed: {count} rounds", speed(rounds=sound["rounds"][:count])
    for field in ("prefill_tokens", "decode_tokens"):
        for wrong in (0, -1, 10**30, None, "x"):
            yield f"speed: {field} {wrong!r}", speed(**{field: wrong})
