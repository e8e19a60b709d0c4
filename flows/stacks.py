"""Both stacks of an encoder-decoder, one after the other."""

import math

from flows.wording import Outcome
from lorp.spec import RecompressSpec

#: A budget is a number that people can read, and rounded down, so that it is kept.
_STEPS = 10_000


def encoder_too(spec: RecompressSpec, outcome: Outcome) -> RecompressSpec | None:
    """What prunes the encoder of the variant whose decoder was pruned; None where its gate rejected that.

    Its budget of perplexity is what the first has left: bounds of ratios multiply, so that the product of both bounds
    keeps what was asked for, at the sum of the risks of both. Other budgets hold for each step by itself.
    """
    bound = outcome["perplexity"]["upper_bound"]
    if not outcome["verdict"]["approved"] or bound is None:
        return None
    left = math.floor(spec.gate.max_perplexity_ratio / bound * _STEPS) / _STEPS
    return spec.model_copy(
        update={
            "source": f"mlflow:models:/{outcome['name']}/{outcome['model_version']}",
            "sha256": None,
            "name": outcome["name"],
            "pruning": spec.pruning.model_copy(update={"stack": "encoder"}),
            "gate": spec.gate.model_copy(update={"max_perplexity_ratio": left}),
        }
    )
