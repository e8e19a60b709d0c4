"""The main job, a Prefect flow of cached tasks.

Source -> checkpoint -> capture -> similarity -> clusters -> plan -> patch -> variant -> evaluations -> verdict
-> registration.
"""

import re
from dataclasses import dataclass, field
from typing import Any, cast

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.outcome import make_outcome
from flows.wording import Outcome, criteria_rows, markdown, summary
from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.errors import SpecError
from lorp.healing import check_healing
from lorp.spec import RecompressSpec, resolve_count, source_name
from tasks.cache import PLAIN_JSON, run, run_all
from tasks.capture import WindowsUse, shard_requests, window_requests
from tasks.corpora import fetch_rows_requests
from tasks.downstream import AnswerQuestions, questions_request
from tasks.evaluate import Evaluate, Generate
from tasks.fetch import fetch_request
from tasks.gate import Gate
from tasks.heal import Heal
from tasks.plan import Cluster, Plan, Prune, Score
from tasks.register import Registering, register_verdict
from tasks.results import RunResults
from tasks.speed import CompareSpeed
from tasks.stage import Request
from tasks.vault import Manifest, Reference, open_vault
from tasks.workspace import Workspace, workspace


def _flow_run_name() -> str:
    spec = flow_run.parameters["spec"]
    asked = spec if isinstance(spec, dict) else spec.model_dump()
    return f"{source_name(asked['source'])} remove {asked['pruning']['remove']}"


@flow(
    name="recompress",
    flow_run_name=_flow_run_name,
    task_runner=cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(max_workers=1)),
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
    job = Job(spec=spec, places=places or workspace())
    outcome = job.outcome()
    create_table_artifact(criteria_rows(outcome), key="verdict", description="What the gate measured")
    create_markdown_artifact(markdown(outcome), key="summary", description="What was made, and where it is")
    name = "Approved" if outcome["verdict"]["approved"] else "Rejected"
    return Completed(name=name, message=summary(outcome), data=outcome)


def run_recompress(spec: RecompressSpec, places: Workspace) -> Outcome:
    """Runs the flow in this process; its outcome, approved or rejected."""
    return cast(Outcome, recompress(spec, places))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of the flow; `stages` gathers the manifests in the order they are run."""

    spec: RecompressSpec
    places: Workspace
    stages: list[Manifest] = field(default_factory=list)

    def outcome(self) -> Outcome:
        """Runs every stage."""
        results = self._results()
        name = self.spec.name or default_name(self.spec.source)
        request = Registering(
            spec=self.spec, name=name, results=results, stages=tuple(self.stages), flow_run=str(flow_run.id)
        )
        return make_outcome(open_vault(self.places.store), request, register_verdict(self.places, request))

    def _results(self) -> RunResults:
        spec = self.spec
        fetch = fetch_request(spec.source, spec.weights_dtype, self.places.tracking_uri)
        checkpoint = self._run(fetch)["checkpoint"]
        folder = open_vault(self.places.store).folder(checkpoint)
        num_blocks = open_checkpoint(folder).num_blocks
        resolve_count(spec.pruning.remove, num_blocks)
        check_context(open_checkpoint(folder), spec)
        if spec.healing.method != "none":
            check_healing(open_checkpoint(folder), spec.healing.method)
        windows = self._windows(checkpoint)
        evaluation = windows["evaluation"]
        similarity = self._similarity(checkpoint, windows["calibration"])
        clustering = self._run(
            Cluster(similarity=similarity, kind=spec.pruning.clustering, num_clusters=spec.pruning.num_clusters)
        )["clustering"]
        plan = self._run(Plan(similarity=similarity, clustering=clustering, spec=spec.pruning, num_blocks=num_blocks))[
            "plan"
        ]
        healed = self._heal(checkpoint, plan, windows.get("healing"))
        weights = healed.get("weights")
        variant = self._run(Prune(checkpoint=checkpoint, plan=plan, weights=weights))["variant"]
        questions = self._questions(checkpoint, evaluation)
        evaluations = self._evaluations(checkpoint, variant, evaluation, questions)
        verdict = self._run(Gate(variant=variant, evaluations=evaluations, spec=spec.gate))["verdict"]
        return RunResults(
            checkpoint=checkpoint,
            calibration=windows["calibration"],
            healing=windows.get("healing"),
            evaluation=evaluation,
            similarity=similarity,
            clustering=clustering,
            plan=plan,
            patch=healed.get("patch"),
            weights=weights,
            variant=variant,
            questions=questions,
            evaluations=evaluations,
            verdict=verdict,
        )

    def _heal(self, checkpoint: Reference, plan: Reference, windows: Reference | None) -> dict[str, Reference]:
        method = self.spec.healing.method
        if method == "none" or windows is None:
            return {}
        return self._run(
            Heal(checkpoint=checkpoint, plan=plan, windows=windows, method=method, compute_spec=self.spec.compute)
        )

    def _windows(self, checkpoint: Reference) -> dict[WindowsUse, Reference]:
        spec = self.spec
        fetched = {
            request.address: self._run(request)["rows"]
            for request in fetch_rows_requests(spec.calibration, spec.evaluation, spec.healing.num_needed)
        }
        requests = window_requests(
            open_vault(self.places.store), checkpoint, spec.calibration, spec.healing, spec.evaluation, fetched
        )
        return {use: self._run(request)["windows"] for use, request in requests.items()}

    def _similarity(self, checkpoint: Reference, windows: Reference) -> Reference:
        requests = shard_requests(checkpoint, windows, self.spec.calibration, self.spec.compute)
        shards = run_all(self.places.store, requests)
        self.stages.extend(shards)
        tables = tuple(shard.outputs["windows"] for shard in shards)
        return self._run(Score(shards=tables, seed=self.spec.calibration.seed))["similarity"]

    def _questions(self, checkpoint: Reference, windows: Reference) -> Reference | None:
        if not self.spec.tasks.tasks:
            return None
        return self._run(questions_request(checkpoint, windows, self.spec.tasks))["questions"]

    def _evaluations(
        self, checkpoint: Reference, variant: Reference, windows: Reference, questions: Reference | None
    ) -> dict[str, Reference]:
        """All evaluations by role, those of one model after those of the other, so that each is loaded once."""
        evaluations = {
            **self._evaluate(checkpoint, windows, questions, "dense"),
            **self._evaluate(variant, windows, questions, "pruned"),
        }
        if self.spec.speed.repeats:
            request = CompareSpeed(
                dense=checkpoint,
                variant=variant,
                windows=windows,
                spec=self.spec.speed,
                compute_spec=self.spec.compute,
            )
            evaluations |= self._run(request)
        return evaluations

    def _evaluate(
        self, checkpoint: Reference, windows: Reference, questions: Reference | None, model: str
    ) -> dict[str, Reference]:
        spec = self.spec
        num_windows = spec.evaluation.num_windows
        perplexity = Evaluate(
            label=model, checkpoint=checkpoint, windows=windows, num_windows=num_windows, compute_spec=spec.compute
        )
        evaluations = {model: self._run(perplexity)["evaluation"]}
        if questions:
            answer = AnswerQuestions(label=model, checkpoint=checkpoint, questions=questions, compute_spec=spec.compute)
            evaluations[f"{model}_tasks"] = self._run(answer)["evaluation"]
        if spec.generation.num_prompts:
            generate = Generate(
                label=model,
                checkpoint=checkpoint,
                windows=windows,
                num_windows=num_windows,
                spec=spec.generation,
                compute_spec=spec.compute,
            )
            evaluations[f"{model}_generation"] = self._run(generate)["evaluation"]
        return evaluations

    def _run(self, request: Request) -> dict[str, Reference]:
        manifest = run(self.places.store, request)
        self.stages.append(manifest)
        return manifest.outputs


def check_context(checkpoint: Checkpoint, spec: RecompressSpec) -> None:
    """Refuses windows longer than the model was made for: perplexity there means nothing.

    Raises:
        SpecError: They are.
    """
    context = checkpoint.config.get("max_position_embeddings", checkpoint.config.get("n_positions"))
    generation, speed = spec.generation, spec.speed
    asked = {
        "windows": (max(spec.calibration.window_tokens, spec.evaluation.window_tokens), "--window-tokens"),
        "continuations": (
            generation.num_prompts and generation.prompt_tokens + generation.max_new_tokens,
            "--generation-tokens",
        ),
        "timed prompts": (speed.repeats and speed.prefill_tokens + speed.decode_tokens, "--speed-tokens"),
    }
    for what, (longest, option) in asked.items():
        if isinstance(context, int) and longest > context:
            raise SpecError(
                f"{what} of {longest} tokens are longer than the model's context of {context}",
                f"Ask for fewer with {option}",
            )


def default_name(source: str) -> str:
    """A registered model's name from its source: `SmolLM2-135M.Q4_1.gguf` -> `smollm2-135m.q4_1-lorp`."""
    stem = source_name(source).removesuffix(".gguf").lower()
    return f"{re.sub(r'[^a-z0-9._-]+', '-', stem).strip('-._')[:90] or 'model'}-lorp"
