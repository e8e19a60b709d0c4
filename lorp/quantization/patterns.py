"""Entries of a quantisation config that stand for modules, by the rules of those who read them.

They are regular expressions that somebody else wrote, so one is run only if it cannot take forever.
"""

import re
from functools import lru_cache

from lorp.errors import SourceError

#: Before a regular expression in the lists of compressed-tensors.
REGEX = "re:"

#: Before a regular expression that makes GPTQModel treat a module otherwise, or not at all.
OTHERWISE, NOT_AT_ALL = "+:", "-:"

_MAX_LENGTH, _MAX_REPEATS = 2000, 4
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


def names_it(entry: str, module: str) -> bool:
    """Whether an entry of compressed-tensors means a module by its path. Raises as `begins` does."""
    return begins(entry.removeprefix(REGEX), module) if entry.startswith(REGEX) else entry == module


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > _MAX_LENGTH or _may_take_forever(pattern):
        raise SourceError(
            f"{pattern[:80]!r} in its quantisation config is too involved a regular expression", "List the names"
        )
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        raise SourceError(
            f"{pattern[:80]!r} in its quantisation config is no regular expression", "Mend the config"
        ) from None


def _may_take_forever(pattern: str) -> bool:
    """Whether it repeats a group that itself repeats or chooses, or repeats more often than any name needs."""
    repeats, involved, closed = 0, [False], False
    for sign in _TOKEN.findall(pattern):
        if sign in ("*", "+") or (sign[0] == "{" and len(sign) > 1):
            repeats += 1
            if closed or repeats > _MAX_REPEATS:
                return True
            involved[-1] = True
        closed = False
        if sign == "(":
            involved.append(False)
        elif sign == "|":
            involved[-1] = True
        elif sign == ")" and len(involved) > 1:
            closed = involved.pop()
            involved[-1] |= closed
    return False
