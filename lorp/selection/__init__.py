"""Selectors by name. A new one is a file here and a line in `SELECTORS`.

Each takes grounds, a count and the spec, and returns a plan that removes exactly `count` blocks, never the first or the
last.
"""

from collections.abc import Mapping
from dataclasses import replace

from lorp.plan import PruningPlan
from lorp.selection import auto, greedy, lorp, shortgpt, streamline
from lorp.selection.grounds import Grounds, Selector
from lorp.selection.portfolio import best_of
from lorp.spec import Method, PruningSpec

__all__ = ["SELECTORS", "Grounds", "Selector", "make_plan"]

SELECTORS: Mapping[Method, Selector] = {
    "lorp": lorp.select,
    "shortgpt": shortgpt.select,
    "streamline": streamline.select,
    "greedy": greedy.select,
    "auto": auto.select,
}


def make_plan(grounds: Grounds, count: int, spec: PruningSpec) -> PruningPlan:
    """The plan of the selector that a spec asks for; of several, the plan that costs least.

    Raises:
        CountError: So many blocks cannot be removed.
        SpecError: Plans are to be compared, and there is no model to ask what they cost.
    """
    if len(spec.method) == 1:
        plan = SELECTORS[spec.method[0]](grounds, count, spec)
    else:
        plan = best_of([SELECTORS[method] for method in spec.method], grounds, count, spec)
    return replace(plan, stack=spec.stack)
