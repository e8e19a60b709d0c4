"""The main job, a Prefect flow of cached tasks.

Source -> checkpoint -> capture -> similarity -> clusters -> plan -> patch -> variant -> evaluations -> verdict
-> registration; where the count is left open, there are several plans, patches and variants, and the frontier tells
which of them is judged.
"""

import re
from typing import Any, cast

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.measured import judge, measure
from flows.outcome import make_outcome
from flows.stages import Stages
from flows.wording import Outcome, criteria_rows, markdown, summary
from lorp.names import source_name
from lorp.spec import RecompressSpec
from tasks.cache import PLAIN_JSON
from tasks.register import Registering, register_verdict
from tasks.runner import stage_runner
from tasks.signing import signing_key
from tasks.workspace import Workspace, workspace


def _flow_run_name() -> str:
    spec = flow_run.parameters["spec"]
    asked = spec if isinstance(spec, dict) else spec.model_dump()
    return f"{source_name(asked['source'])} remove {asked.get('pruning', {}).get('remove', 'auto')}"


@flow(
    name="recompress",
    flow_run_name=_flow_run_name,
    persist_result=True,
    result_serializer=PLAIN_JSON,
)
def recompress(spec: RecompressSpec, places: Workspace | None = None) -> State[Any]:
    """Makes one variant of a checkpoint, and registers it if the gate approves.

    Args:
        spec: What is asked.
        places: Where things are kept; the defaults of `tasks.workspace` unless given.

    Returns:
        Completed, named Approved or Rejected, with the outcome as JSON.

    Raises:
        InputError: The source, the text, the count or a setting cannot be used.
        LorpError: A fault.
    """
    signing_key()  # before hours of work, rather than after
    with stage_runner() as runner:
        stages = Stages(spec=spec, places=places or workspace(), runner=runner)
        results = judge(stages, measure(stages))
    request = Registering(
        spec=spec,
        name=spec.name or default_name(spec.source),
        results=results,
        stages=tuple(stages.done),
        flow_run=str(flow_run.id),
    )
    outcome = make_outcome(stages.vault, request, register_verdict(stages.places, request))
    _tell(outcome)
    create_table_artifact(criteria_rows(outcome), key="verdict", description="What the gate measured")
    create_markdown_artifact(markdown(outcome), key="summary", description="What was made, and where it is")
    name = "Approved" if outcome["verdict"]["approved"] else "Rejected"
    return Completed(name=name, message=summary(outcome), data=outcome)


def _tell(outcome: Outcome) -> None:
    """Emits an event, for automations; it changes nothing."""
    said = "approved" if outcome["verdict"]["approved"] else "rejected"
    emit_event(
        event=f"lorp.variant.{said}",
        resource={"prefect.resource.id": f"lorp.model.{outcome['name']}", "prefect.resource.name": outcome["name"]},
        payload={
            "name": outcome["name"],
            "version": outcome["model_version"],
            "verdict": outcome["verdict"]["id"],
            "variant": outcome["variant"]["digest"],
            "said": summary(outcome),
        },
    )


def run_recompress(spec: RecompressSpec, places: Workspace) -> Outcome:
    """Runs the flow in this process; its outcome, approved or rejected."""
    return cast(Outcome, recompress(spec, places))


def default_name(source: str) -> str:
    """A registered model's name from its source: `SmolLM2-135M.Q4_1.gguf` -> `smollm2-135m.q4_1-lorp`."""
    stem = source_name(source).removesuffix(".gguf").lower()
    return f"{re.sub(r'[^a-z0-9._-]+', '-', stem).strip('-._')[:90] or 'model'}-lorp"
