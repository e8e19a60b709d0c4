"""What a quantisation config has to say of the kept blocks, under their new names.

Names of modules stand anywhere in it: in lists of what is left as it is, as targets, as keys. A name is renumbered, or
dropped with its block. A regular expression stays if it means the same modules after the cut; otherwise it gives way to
the names of those it meant. What comes of it is held against the source's: every kept map has to be stored as it was.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lorp.architectures import Family
from lorp.errors import SourceError
from lorp.quantization.layout import LinearMap
from lorp.quantization.patterns import NOT_AT_ALL, OTHERWISE, REGEX, begins, is_literal, skips
from lorp.quantization.schemes import FIELD, scheme_of
from lorp.quantization.stored import Quantization

#: Lists whose entries transformers reads as names and as regular expressions.
_SKIPPED = frozenset({"modules_to_not_convert", "ignored_layers", "llm_int8_skip_modules"})

#: An object whose keys GPTQModel reads as regular expressions, the first of which counts.
DYNAMIC = "dynamic"


def pruned_quantization(
    family: Family, config: Mapping[str, Any], quantization: Quantization, kept: Sequence[int]
) -> dict[str, Any]:
    """The field of a pruned config that says how its weights are quantised.

    Args:
        family: Of the model.
        config: The dense model's.
        quantization: The same, as it was read.
        kept: Indices of the kept blocks, ascending.

    Raises:
        SourceError: It names blocks in a way that cannot be renumbered.
    """
    cut = _Cut(family, {block: index for index, block in enumerate(kept)}, quantization.linears)
    pruned = {FIELD: cut.pruned(FIELD, config[FIELD])}
    _check_same(quantization, scheme_of(pruned), cut)
    return pruned


def written_in_order(value: Any, field: str = "") -> Any:
    """A JSON value with sorted keys, but for those whose order says something."""
    if isinstance(value, dict):
        names = value if field == DYNAMIC else sorted(value)
        return {name: written_in_order(value[name], name) for name in names}
    return [written_in_order(item) for item in value] if isinstance(value, list | tuple) else value


def _check_same(quantization: Quantization, pruned: Any, cut: "_Cut") -> None:
    for linear in quantization.linears:
        module = cut.name(linear.module)
        if module is None:
            continue
        if pruned.layouts(replace(linear, module=module)) != quantization.scheme.layouts(linear):
            raise SourceError(
                f"its quantisation config names blocks in a way that cannot be renumbered: see {linear.module}",
                "Name modules in full there",
            )


@dataclass(frozen=True)
class _Cut:
    """What becomes of names.

    Attributes:
        family: Of the model.
        new_index: Of each kept block.
        linears: All maps of the dense model.
    """

    family: Family
    new_index: Mapping[int, int]
    linears: Sequence[LinearMap]

    def pruned(self, field: str, value: Any) -> Any:
        """A value of the config, the field that it is in or under being known."""
        if isinstance(value, dict):
            return {
                new: self.pruned(name, inner) for name, inner in value.items() for new in self._entries(field, name)
            }
        if isinstance(value, list):
            return [new for item in value for new in self._items(field, item)]
        return value

    def name(self, module: str) -> str | None:
        """A module's name after the cut; None if its block is gone."""
        block = self.family.block_of(f"{module}.")
        if block is None:
            return module
        new = self.new_index.get(block)
        return None if new is None else self.family.renumbered(f"{module}.", new).removesuffix(".")

    def _items(self, field: str, item: Any) -> list[Any]:
        return self._entries(field, item) if isinstance(item, str) else [self.pruned(field, item)]

    def _entries(self, field: str, entry: str) -> list[str]:
        """What an entry becomes: one or several, or none where all that it meant is gone."""
        if field == DYNAMIC:
            prefix = next((prefix for prefix in (OTHERWISE, NOT_AT_ALL) if entry.startswith(prefix)), "")
            means = partial(begins, entry.removeprefix(prefix))
            return self._matched(entry, means, lambda name: f"{prefix}^{re.escape(name)}$")
        if entry.startswith(REGEX):
            return self._matched(entry, partial(begins, entry.removeprefix(REGEX)), str)
        if field in _SKIPPED and not is_literal(entry):
            return self._matched(entry, partial(skips, entry), str)
        new = self.name(entry)
        return [] if new is None else [new]

    def _matched(self, entry: str, means: Callable[[str], bool], spelt: Callable[[str], str]) -> list[str]:
        """The entry itself, if it means the same after the cut; otherwise the new names of what it means."""
        meant = [linear.module for linear in self.linears if means(linear.module)]
        new_names = {linear.module: self.name(linear.module) for linear in self.linears}
        kept = {new for module in meant if (new := new_names[module]) is not None}
        if meant and not kept:
            return []
        if all(means(new) == (new in kept) for new in new_names.values() if new is not None):
            return [entry]
        return [spelt(new) for new in sorted(kept)]
