"""The stages of the main job, each run as a task; what they make is gathered as they are run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

from flows.checks import check_expected, check_possible, check_questions
from flows.prepared import Begun, Prepared
from lorp.checkpoint import open_checkpoint
from lorp.corpus.mixtures import Mixture, mixtures_of, told
from lorp.depth import resolve_count
from lorp.spec import RecompressSpec
from lorp.surgery import most_removable
from lorp.values import decode
from tasks.cache import run
from tasks.capture import shard_requests
from tasks.corpora import fetch_rows_requests
from tasks.downstream import AnswerQuestions, questions_request
from tasks.evaluate import Evaluate, Generate
from tasks.fetch import fetch_request
from tasks.frontier import Candidate, Look
from tasks.heal import Heal
from tasks.plan import Cluster, Plan, Prune, Resample, Score
from tasks.runner import Runner
from tasks.search import Depth, GuessDepth, Search
from tasks.speed import CompareSpeed
from tasks.stage import Request
from tasks.vault import Manifest, Reference, Vault, open_vault
from tasks.windows import of_evaluation, window_requests, windows_beyond
from tasks.workspace import Workspace

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Runs the stages of one job.

    Attributes:
        spec: What is asked.
        places: Where things are kept.
        runner: Runs stages as tasks.
        done: Manifests, in the order in which stages were asked for.
    """

    spec: RecompressSpec
    places: Workspace
    runner: Runner
    done: list[Manifest] = field(default_factory=list)

    @property
    def vault(self) -> Vault:
        """Where results are kept."""
        return open_vault(self.places.store)

    def run(self, request: Request) -> dict[str, Reference]:
        """A stage's outputs, by role."""
        manifest = run(self.places.store, request, self.runner)
        self._note([manifest])
        return manifest.outputs

    def at_once(self, parts: Sequence[Callable[["Stages"], R]]) -> list[R]:
        """Runs parts of the job of which none rests on another; the order of `done` does not tell which was first."""
        each = [replace(self, done=[]) for _ in parts]
        made = self.runner.at_once([partial(part, stages) for part, stages in zip(parts, each, strict=True)])
        for stages in each:
            self._note(stages.done)
        return made

    def checkpoint(self) -> Reference:
        """The checkpoint that the source stands for now."""
        request = fetch_request(self.spec.source, self.spec.weights_dtype, self.places.tracking_uri)
        return self.run(request)["checkpoint"]

    def begin(self) -> Begun:
        """The checkpoint, and text that lies on the hub.

        Raises:
            InputError: What is asked cannot be done with this checkpoint, or this text.
        """
        spec, checkpoint = self.spec, self.checkpoint()
        check_expected(spec, checkpoint)
        opened = open_checkpoint(self.vault.folder(checkpoint), spec.pruning.stack)
        check_possible(opened, spec)
        requests = fetch_rows_requests(spec.calibration, spec.evaluation, windows_beyond(spec))
        fetched = {request.address: self.run(request)["rows"] for request in requests}
        return Begun(checkpoint=checkpoint, num_blocks=opened.num_blocks, most=most_removable(opened), fetched=fetched)

    def prepare(self, begun: Begun, mixture: Mixture) -> Prepared:
        """Everything up to the clusters.

        Args:
            begun: What it starts from.
            mixture: The corpora to calibrate on.

        Raises:
            CorpusError: Their text cannot be used.
        """
        pruning, seed = self.spec.pruning, self.spec.calibration.seed
        cuts = window_requests(self.vault, begun.checkpoint, self.spec, begun.fetched, mixture)
        check_questions(self.spec)
        windows = {
            use: self.run(request if of_evaluation(use) else self._told(request, mixture))["windows"]
            for use, request in cuts.items()
        }
        shards = self._captured(begun.checkpoint, windows["calibration"], mixture)
        score = Score(shards=shards, seed=seed, by_corpus=len(mixture) > 1)
        similarity = self.run(score)["similarity"]
        cluster = Cluster(similarity=similarity, kind=pruning.clustering, num_clusters=pruning.num_clusters)
        return Prepared(
            checkpoint=begun.checkpoint,
            num_blocks=begun.num_blocks,
            most=begun.most,
            mixture=mixture,
            windows=windows,
            shards=shards,
            similarity=similarity,
            clustering=self.run(cluster)["clustering"],
        )

    def candidate(self, prepared: Prepared, count: int) -> Candidate:
        """The plan of a count, healed and cut."""
        plan, stability = self._plan(prepared, count)
        healed: dict[str, Reference] = {}
        if self.spec.healing.method != "none":
            heal = Heal(
                label=f"{count} removed",
                checkpoint=prepared.checkpoint,
                plan=plan,
                windows=prepared.windows["healing"],
                method=self.spec.healing.method,
                compute_spec=self.spec.compute,
            )
            healed = self.run(self._told(heal, prepared.mixture))
        weights = healed.get("weights")
        variant = self.run(Prune(checkpoint=prepared.checkpoint, plan=plan, weights=weights))["variant"]
        return Candidate(plan=plan, stability=stability, patch=healed.get("patch"), weights=weights, variant=variant)

    def searching(self, prepared: Prepared) -> dict[str, Any]:
        """What stages that ask what plans cost have in common."""
        return {
            "checkpoint": prepared.checkpoint,
            "similarity": prepared.similarity,
            "clustering": prepared.clustering,
            "windows": prepared.windows["search"],
            "mended": self.spec.healing.method not in ("none", "magnitude"),
            "max_swaps": self.spec.search.max_swaps,
            "seed": self.spec.calibration.seed,
            "compute_spec": self.spec.compute,
            "stack": self.spec.pruning.stack,
        }

    def first_count(self, prepared: Prepared) -> int:
        """The count that is asked for; where it is left open, a first guess at how deep the budgets let one cut."""
        remove, gate = self.spec.pruning.remove, self.spec.gate
        if remove != "auto":
            return resolve_count(remove, prepared.num_blocks)
        guess = GuessDepth(
            **self.searching(prepared),
            max_perplexity_ratio=gate.max_perplexity_ratio,
            max_perplexity=gate.max_perplexity,
        )
        depth = decode(Depth, self.vault.read(self.run(guess)["depth"]))
        return min(depth.count, prepared.most)

    def look(
        self,
        checkpoint: Reference,
        prepared: Prepared,
        use: Literal["frontier", "mixture"],
        first: int,
        size: int,
        label: str,
    ) -> Reference:
        """Losses of the dense model or a candidate on some of the windows on which candidates compete."""
        request = Look(
            label=label,
            checkpoint=checkpoint,
            use=use,
            windows=prepared.windows[use],
            first=first,
            size=size,
            compute_spec=self.spec.compute,
        )
        return self.run(self._told(request, prepared.mixture))["losses"]

    def questions(self, prepared: Prepared) -> Reference | None:
        """Those of the tasks, if there are any."""
        if not self.spec.tasks.tasks:
            return None
        request = questions_request(prepared.checkpoint, prepared.windows["evaluation"], self.spec.tasks)
        return self.run(request)["questions"]

    def evaluations(self, prepared: Prepared, variant: Reference, questions: Reference | None) -> dict[str, Reference]:
        """Evaluations by role, those of one model after those of the other, so that each is loaded once."""
        windows = prepared.windows["evaluation"]
        asked = {
            **self._evaluations_of(prepared.checkpoint, windows, questions, "dense"),
            **self._evaluations_of(variant, windows, questions, "pruned"),
        }
        made = self.at_once([partial(Stages.run, request=request) for request in asked.values()])
        return {role: outputs["evaluation"] for role, outputs in zip(asked, made, strict=True)}

    def answers(self, checkpoint: Reference, questions: Reference | None, model: str) -> Reference | None:
        """A model's answers, if there are questions."""
        if questions is None:
            return None
        return self.run(self._answer(checkpoint, questions, model))["evaluation"]

    def speed(self, prepared: Prepared, variant: Reference) -> Reference | None:
        """A variant's speed and size beside the dense model's, if they are asked for."""
        if not self.spec.speed.repeats:
            return None
        request = CompareSpeed(
            dense=prepared.checkpoint,
            variant=variant,
            windows=prepared.windows["evaluation"],
            spec=self.spec.speed,
            compute_spec=self.spec.compute,
        )
        return self.run(request)["speed"]

    def _plan(self, prepared: Prepared, count: int) -> tuple[Reference, Reference]:
        """The plan, and how sure it is."""
        pruning = self.spec.pruning
        if pruning.asks_trials:
            search = Search(
                **self.searching(prepared),
                label=f"{count} removed",
                spec=pruning,
                count=count,
                by_corpus=prepared.by_corpus,
            )
            found = self.run(self._told(search, prepared.mixture))
            return found["plan"], found["stability"]
        plan = Plan(similarity=prepared.similarity, clustering=prepared.clustering, spec=pruning, count=count)
        resample = Resample(
            shards=prepared.shards,
            spec=pruning,
            count=count,
            seed=self.spec.calibration.seed,
            by_corpus=prepared.by_corpus,
        )
        return self.run(plan)["plan"], self.run(resample)["stability"]

    def _told(self, request: Request, mixture: Mixture) -> Request:
        """Says for which mixture, where there are several."""
        if len(mixtures_of(self.spec.calibration)) == 1:
            return request
        return replace(request, label=f"{request.label}, {told(mixture)}")

    def _captured(self, checkpoint: Reference, windows: Reference, mixture: Mixture) -> tuple[Reference, ...]:
        spec = self.spec
        requests = shard_requests(checkpoint, windows, spec.calibration, spec.compute, spec.pruning.stack)
        told = [self._told(request, mixture) for request in requests]
        shards = self.at_once([partial(Stages.run, request=request) for request in told])
        return tuple(shard["windows"] for shard in shards)

    def _evaluations_of(
        self, checkpoint: Reference, windows: Reference, questions: Reference | None, model: str
    ) -> dict[str, Request]:
        spec = self.spec
        num_windows = spec.evaluation.num_windows
        asked: dict[str, Request] = {
            model: Evaluate(
                label=model, checkpoint=checkpoint, windows=windows, num_windows=num_windows, compute_spec=spec.compute
            )
        }
        if questions:
            asked[f"{model}_tasks"] = self._answer(checkpoint, questions, model)
        if spec.generation.num_prompts:
            asked[f"{model}_generation"] = Generate(
                label=model,
                checkpoint=checkpoint,
                windows=windows,
                num_windows=num_windows,
                spec=spec.generation,
                compute_spec=spec.compute,
            )
        return asked

    def _answer(self, checkpoint: Reference, questions: Reference, model: str) -> AnswerQuestions:
        return AnswerQuestions(label=model, checkpoint=checkpoint, questions=questions, compute_spec=self.spec.compute)

    def _note(self, manifests: Sequence[Manifest]) -> None:
        for manifest in manifests:
            if manifest not in self.done:
                self.done.append(manifest)
