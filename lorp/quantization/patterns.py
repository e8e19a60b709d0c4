"""Entries of a quantisation config that stand for modules, by the rules of those who read them.

They are regular expressions that somebody else wrote, so one is run only if it cannot take forever.
"""

import math
import re
from collections.abc import Iterable
from functools import lru_cache

from lorp.errors import SourceError

#: Before a regular expression in the lists of compressed-tensors.
REGEX = "re:"

#: Before a regular expression that makes GPTQModel treat a module otherwise, or not at all.
OTHERWISE, NOT_AT_ALL = "+:", "-:"

_MAX_LENGTH, _MAX_WAYS = 20_000, 2e6
#: Places in a name, which is short, where a repetition may end.
_PLACES = 30
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)
_LITERAL = re.compile(r"[\w.\-]+")


def is_literal(entry: str) -> bool:
    """Whether an entry is a name, but for dots that a regular expression would read otherwise."""
    return _LITERAL.fullmatch(entry) is not None


def begins(pattern: str, module: str) -> bool:
    """Whether a module's path begins with what a regular expression matches.

    Raises:
        SourceError: It is none, or one that may take forever.
    """
    return _compiled(pattern).match(module) is not None


def skips(entry: str, module: str) -> bool:
    """Whether an entry of a list of modules to leave as they are means this one, as transformers reads it.

    It is the path's beginning or end, or a regular expression for its beginning.

    Raises:
        SourceError: It is a regular expression that may take forever.
    """
    if module == entry or module.startswith(f"{entry}.") or module.endswith(entry):
        return True
    return not is_literal(entry) and begins(rf"(?:{entry})(?:(?<=\.)|(?=\.|$))", module)


def any_skips(entries: Iterable[str], module: str) -> bool:
    """Whether one of them does. Raises as `skips` does."""
    return any(skips(entry, module) for entry in entries)


def names_it(entry: str, module: str) -> bool:
    """Whether an entry of compressed-tensors means a module by its path. Raises as `begins` does."""
    return begins(entry.removeprefix(REGEX), module) if entry.startswith(REGEX) else entry == module


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > _MAX_LENGTH or _ways(pattern) > _MAX_WAYS:
        raise SourceError(
            f"{pattern[:80]!r} in its quantisation config is too involved a regular expression", "List the names"
        )
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        raise SourceError(
            f"{pattern[:80]!r} in its quantisation config is no regular expression", "Mend the config"
        ) from None


def _ways(pattern: str) -> float:
    """About how many ways there are to try it on a name; no end of them if it repeats what repeats or chooses."""
    ways, choices, involved = 1.0, [1], [False]
    before, was_involved = "", False
    for sign in _TOKEN.findall(pattern):
        repeats = sign in ("*", "+") or (sign[0] == "{" and len(sign) > 1)
        if repeats and before == ")" and was_involved:
            return math.inf
        if repeats or (sign == "?" and before not in ("(", "?", "*")):
            ways *= _PLACES if repeats else 2
            involved[-1] = True
        elif sign == "(":
            choices.append(1)
            involved.append(False)
        elif sign == "|":
            choices[-1] += 1
            involved[-1] = True
        elif sign == ")" and len(involved) > 1:
            ways *= choices.pop()
            was_involved = involved.pop()
            involved[-1] |= was_involved
        before = "*" if repeats else sign
    return ways * math.prod(choices)
