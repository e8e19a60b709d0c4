"""Counts x methods x healings -> the verdict on each, side by side; nothing is registered.

Each cell is a job as `flows.recompress` runs it up to the verdict. What cells have in common is done once, since the
store has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, cast

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.measured import Measured, judge, measure
from flows.outcome import perplexity
from flows.stages import Stages
from flows.wording import Cell, sweep_rows, sweep_summary, why
from lorp.errors import LorpError, OutageError
from lorp.names import source_name
from lorp.spec import Count, HealingMethod, Method, Recipe, RecompressSpec, Spec
from tasks.cache import PLAIN_JSON
from tasks.results import read_values
from tasks.runner import stage_runner
from tasks.workspace import Workspace, workspace


class SweepSpec(Spec):
    """What is compared.

    Attributes:
        source: As a `RecompressSpec` has it.
        remove: Counts, or shares of depth.
        method: Selectors, each by itself.
        healing: Healing methods.
        recipe: All else; its own count, selectors and healing method are replaced.
    """

    source: str = Field(min_length=1)
    remove: Annotated[tuple[Count, ...], Field(min_length=1)]
    method: Annotated[tuple[Method, ...], Field(min_length=1)] = ("lorp", "shortgpt", "auto")
    healing: Annotated[tuple[HealingMethod, ...], Field(min_length=1)] = ("none", "linear")
    recipe: Recipe = Recipe()

    @property
    def common(self) -> RecompressSpec:
        """The job that all cells have in common; what it removes, and how, is not yet said."""
        return RecompressSpec(**dict(self.recipe), source=self.source)

    def cells(self) -> Iterator[RecompressSpec]:
        """A job a cell."""
        common = self.common
        for count, method, healing in product(self.remove, self.method, self.healing):
            pruning = common.pruning.model_copy(update={"remove": count, "method": (method,)})
            mended = common.healing.model_copy(update={"method": healing})
            yield common.model_copy(update={"pruning": pruning, "healing": mended})


def _flow_run_name() -> str:
    asked = flow_run.parameters["asked"]
    return f"sweep {source_name(asked['source'] if isinstance(asked, dict) else asked.source)}"


@flow(name="sweep", flow_run_name=_flow_run_name, persist_result=True, result_serializer=PLAIN_JSON)
def sweep(asked: SweepSpec, places: Workspace | None = None) -> State[Any]:
    """Brings every cell to its verdict. One that cannot have one says why, and the others go on.

    All are of the checkpoint that the source stands for at the beginning.

    On a cluster cells run at the same time; timings come last, one after the other.

    Args:
        asked: What is compared.
        places: Where things are kept; the defaults of `tasks.workspace` unless given.

    Returns:
        Completed, named Swept, or Incomplete where a cell has no verdict, with the cells as JSON.

    Raises:
        InputError: The source or text cannot be used.
        OutageError: Store, hub or cluster does not answer; what was finished is kept.
    """
    places = places or workspace()
    with stage_runner() as runner:
        # What the source stands for may change meanwhile: a cell that finds another checkpoint refuses it.
        first = Stages(spec=asked.common, places=places, runner=runner).checkpoint().sha256
        specs = [spec.model_copy(update={"sha256": first}) for spec in asked.cells()]
        cells = [_Swept(stages=Stages(spec=spec, places=places, runner=runner)) for spec in specs]
        measured = runner.at_once([cell.measured for cell in cells])
        found = [cell.judged(each) for cell, each in zip(cells, measured, strict=True)]
    create_table_artifact(sweep_rows(found), key="sweep", description="What each cell came to")
    name = "Swept" if all(cell["approved"] is not None for cell in found) else "Incomplete"
    outcome = {"run": str(flow_run.id), "source": asked.source, "cells": found}
    return Completed(name=name, message=sweep_summary(found), data=outcome)


@dataclass(frozen=True, kw_only=True)
class _Swept:
    """One cell."""

    stages: Stages

    def measured(self) -> Measured | Exception:
        """Everything but timings and verdict, or why not; an outage is no cell's own, and ends the sweep."""
        try:
            return measure(self.stages)
        except OutageError:
            raise
        except Exception as fault:  # of these blocks, or this healing: the other cells go on
            return fault

    def judged(self, measured: Measured | Exception) -> Cell:
        """The verdict, or why there is none."""
        if isinstance(measured, Exception):
            return self._cell(reason=_said(measured))
        try:
            values = read_values(self.stages.vault, judge(self.stages, measured))
        except OutageError:
            raise
        except Exception as fault:
            return self._cell(reason=_said(fault))
        criteria = [vars(criterion) for criterion in values.verdict.criteria]
        found = perplexity(values)
        return self._cell(
            removed=list(values.plan.removed),
            perplexity_ratio=found["ratio"],
            upper_bound=found["upper_bound"],
            accuracy=values.evidence.figures.get("accuracy_pruned"),
            approved=values.verdict.approved,
            reason=why(criteria),
        )

    def _cell(
        self,
        reason: str,
        removed: list[int] | None = None,
        perplexity_ratio: float | None = None,
        upper_bound: float | None = None,
        accuracy: float | None = None,
        approved: bool | None = None,
    ) -> Cell:
        spec = self.stages.spec
        return Cell(
            remove=cast(float, spec.pruning.remove),
            method=",".join(spec.pruning.method),
            healing=spec.healing.method,
            removed=removed,
            perplexity_ratio=perplexity_ratio,
            upper_bound=upper_bound,
            accuracy=accuracy,
            approved=approved,
            reason=reason,
        )


def _said(fault: Exception) -> str:
    return str(fault) if isinstance(fault, LorpError) else f"{type(fault).__name__}: {fault}"


def run_sweep(asked: SweepSpec, places: Workspace) -> dict[str, Any]:
    """Runs the flow in this process; its outcome."""
    return cast(dict[str, Any], sweep(asked, places))
