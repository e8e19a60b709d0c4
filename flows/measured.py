"""A job up to its verdict: everything that is measured, then timings, alone, and the gate."""

from dataclasses import dataclass

from flows.frontier import FrontierSearch
from flows.mixtures import prepare
from flows.prepared import Prepared
from flows.stages import Stages
from tasks.frontier import Candidate
from tasks.gate import Asked, Gate
from tasks.results import RunResults
from tasks.vault import Reference


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A candidate, and what was measured of it but its speed.

    Attributes:
        prepared: What it was made from.
        mixtures: How mixtures of corpora compare, if the best was asked for.
        frontier: What was looked at to find how deep to cut, if that was left open.
        candidate: What is judged.
        questions: Of the tasks, if there are any.
        evaluations: By role, as in `tasks.evidence`.
    """

    prepared: Prepared
    mixtures: Reference | None
    frontier: Reference | None
    candidate: Candidate
    questions: Reference | None
    evaluations: dict[str, Reference]


def measure(stages: Stages) -> Measured:
    """Runs every stage that may run beside others.

    Raises:
        InputError: What is asked cannot be done with this checkpoint or this text.
    """
    prepared, mixtures = prepare(stages)
    questions = stages.questions(prepared)
    frontier = None
    if stages.spec.pruning.remove == "auto":
        search = FrontierSearch(stages=stages, prepared=prepared, questions=questions)
        candidate, frontier = search.deepest()
    else:
        candidate = stages.candidate(prepared, stages.first_count(prepared))
    return Measured(
        prepared=prepared,
        mixtures=mixtures,
        frontier=frontier,
        candidate=candidate,
        questions=questions,
        evaluations=stages.evaluations(prepared, candidate.variant, questions),
    )


def judge(stages: Stages, measured: Measured) -> RunResults:
    """Times dense model and variant while nothing else of the job runs, and asks the gate."""
    prepared, candidate = measured.prepared, measured.candidate
    speed = stages.speed(prepared, candidate.variant)
    evaluations = {**measured.evaluations, "speed": speed} if speed else measured.evaluations
    gate = Gate(
        variant=candidate.variant,
        evaluations=evaluations,
        spec=stages.spec.gate,
        dense=prepared.checkpoint,
        asked=Asked.of(prepared.windows["evaluation"], measured.questions, stages.spec.generation.num_prompts),
    )
    return RunResults(
        checkpoint=prepared.checkpoint,
        windows=prepared.windows,
        similarity=prepared.similarity,
        clustering=prepared.clustering,
        mixture=prepared.mixture,
        mixtures=measured.mixtures,
        frontier=measured.frontier,
        candidate=candidate,
        questions=measured.questions,
        evaluations=evaluations,
        verdict=stages.run(gate)["verdict"],
    )
