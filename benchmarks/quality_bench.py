"""The cells of `quality.py`, by the product's own stages in a store."""

import argparse
import math
from dataclasses import dataclass
from functools import cache, cached_property

from flows.demo import demo_source
from lorp.corpus import Window, Windows
from lorp.corpus.local import read_local
from lorp.corpus.uses import DealtUse, deal
from lorp.corpus.windows import cut_windows
from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.gate.evidence import Evidence, Measured, perplexity_ratio
from lorp.healing.patch import Patch
from lorp.models import load_tokenizer
from lorp.plan import PruningPlan
from lorp.spec import CalibrationSpec, ComputeSpec, DownstreamSpec, PruningSpec, SearchSpec
from lorp.values import decode, encode
from tasks.capture import shard_requests
from tasks.downstream import AnswerQuestions, questions_request
from tasks.evaluate import Evaluate
from tasks.fetch import fetch_request
from tasks.heal import Heal
from tasks.plan import Cluster, Plan, Prune, Score
from tasks.search import Search
from tasks.stage import Request, run_stage
from tasks.vault import Reference, open_vault

WINDOW, STRIDE, NUM_JUDGED = 256, 5 * 256, 32
TASKS = ("hellaswag", "arc_easy", "piqa", "winogrande", "copa")
CAPTURED, RIDGE, CONFIDENCE = 32, 24, 0.975
SEARCH = SearchSpec()


@dataclass(frozen=True)
class Cell:
    """One row of the table, by its columns."""

    fitted_on: str
    count: int
    method: str
    healing: str

    def named(self) -> dict[str, str]:
        """Its columns."""
        return {name: str(value) for name, value in vars(self).items()}


class Bench:
    """Runs the stages of each cell; what is in the store already is not computed again."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._vault = open_vault(str(options.work / "store"))
        self._checkpoint = self._run(fetch_request(str(demo_source()), "float32", ""))["checkpoint"]
        self._tokenizer = load_tokenizer(self._vault.folder(self._checkpoint))
        self._parts = cache(self._dealt)
        self._compute = ComputeSpec(device=options.device)
        self._quick = ComputeSpec(device=options.device, dtype=options.dtype)

    @cached_property
    def dense(self) -> dict[str, float]:
        """The dense model's figures."""
        return self._figures(self._checkpoint)

    def row(self, cell: Cell) -> dict[str, object]:
        """A cell's figures by column."""
        plan = self._plan(cell)
        healed: dict[str, Reference] = {}
        if cell.healing != "none":
            windows = self._parts(cell.fitted_on)["healing"]
            request = Heal(
                label=str(cell), checkpoint=self._checkpoint, plan=plan, windows=windows, method=cell.healing,
                compute_spec=self._compute,
            )  # fmt: skip
            healed = self._run(request)
        variant = self._run(Prune(checkpoint=self._checkpoint, plan=plan, weights=healed.get("weights")))["variant"]
        removed = decode(PruningPlan, self._vault.read(plan)).removed
        patch = decode(Patch, self._vault.read(healed["patch"])) if healed else None
        return {
            **cell.named(),
            "removed": " ".join(map(str, removed)),
            "healed_by": patch.method if patch else "none",
            **self._figures(variant),
        }

    def _plan(self, cell: Cell) -> Reference:
        parts = self._parts(cell.fitted_on)
        spec = PruningSpec(method=cell.method)
        similarity, clustering = self._scored(cell.fitted_on)
        if not spec.asks_trials:
            plan = Plan(similarity=similarity, clustering=clustering, spec=spec, count=cell.count)
            return self._run(plan)["plan"]
        search = Search(
            label=str(cell), checkpoint=self._checkpoint, similarity=similarity, clustering=clustering,
            windows=parts["search"], mended=cell.method == "auto" and cell.healing != "none",
            max_swaps=self._options.swaps, seed=0, compute_spec=self._quick, spec=spec, count=cell.count,
        )  # fmt: skip
        return self._run(search)["plan"]

    def _scored(self, fitted_on: str) -> tuple[Reference, Reference]:
        windows = self._parts(fitted_on)["calibration"]
        requests = shard_requests(self._checkpoint, windows, CalibrationSpec(num_windows=CAPTURED), self._compute)
        shards = tuple(self._run(request)["windows"] for request in requests)
        similarity = self._run(Score(shards=shards, seed=0))["similarity"]
        return similarity, self._run(Cluster(similarity=similarity, kind="spectral", num_clusters=None))["clustering"]

    def _figures(self, checkpoint: Reference) -> dict[str, float]:
        wikitext, c4 = (self._evaluation(checkpoint, self._judged(text)) for text in ("wikitext2", "c4"))
        figures = {"wikitext2": wikitext.perplexity, "c4": c4.perplexity}
        if checkpoint != self._checkpoint:
            dense = self._evaluation(self._checkpoint, self._judged("wikitext2"))
            both = Evidence(dense=Measured(perplexity=dense), pruned=Measured(perplexity=wikitext))
            ratio = perplexity_ratio(both, CONFIDENCE)
            if not isinstance(ratio, str):
                figures |= {
                    "wikitext2_ratio": ratio.value,
                    "wikitext2_ratio_low": ratio.lower,
                    "wikitext2_ratio_high": ratio.upper,
                }
        return figures | self._accuracy(checkpoint)

    def _accuracy(self, checkpoint: Reference) -> dict[str, float]:
        if not self._options.items:
            return {}
        files = tuple(str(self._options.data / f"{task}.jsonl") for task in TASKS)
        spec = DownstreamSpec(tasks=files, limit=self._options.items)
        questions = self._run(questions_request(self._checkpoint, self._judged("wikitext2"), spec))["questions"]
        answer = AnswerQuestions(checkpoint=checkpoint, questions=questions, compute_spec=self._quick)
        done = decode(DownstreamEvaluation, self._vault.read(self._run(answer)["evaluation"]))
        return {name.removeprefix("accuracy_"): value for name, value in done.figures.items() if math.isfinite(value)}

    def _evaluation(self, checkpoint: Reference, windows: Reference) -> PerplexityEvaluation:
        request = Evaluate(checkpoint=checkpoint, windows=windows, num_windows=NUM_JUDGED, compute_spec=self._compute)
        return decode(PerplexityEvaluation, self._vault.read(self._run(request)["evaluation"]))

    def _dealt(self, text: str) -> dict[str, Reference]:
        """Windows by use, spread over the text that may be chosen and fitted on."""
        sizes: dict[DealtUse, tuple[int, ...]] = {
            "search": SEARCH.sizes,
            "healing": (self._options.fit_windows, RIDGE),
        }
        total = CAPTURED + sum(sum(parts) for parts in sizes.values())
        windows = self._first_half(total) if text == "wikitext2" else self._c4[NUM_JUDGED:]
        if len(windows) < total:
            raise SystemExit(f"{text} gives {len(windows)} windows, and {total} are asked for")
        parts = {"calibration": self._put(Windows(corpus_sha256=text, windows=tuple(windows[:CAPTURED])))}
        start = CAPTURED
        for use, counts in sizes.items():
            parts[use] = self._put(deal(use, windows[start:], counts))
            start += sum(counts)
        return parts

    @cache  # noqa: B019
    def _judged(self, text: str) -> Reference:
        if text == "c4":
            return self._put(Windows(corpus_sha256=text, windows=tuple(self._c4[:NUM_JUDGED])))
        half = len(self._wikitext) // 2
        starts = [half + index * STRIDE for index in range(NUM_JUDGED)]
        return self._put(Windows(corpus_sha256=text, windows=tuple(map(self._window, starts))))

    def _first_half(self, total: int) -> list[Window]:
        """Windows of the first half, in an order in which any stretch of them is spread over it."""
        starts = range(0, len(self._wikitext) // 2 - WINDOW + 1, WINDOW)
        spread = sorted(starts, key=lambda start: (start // WINDOW * 0.6180339887498949) % 1)
        return [self._window(start) for start in spread[:total]]

    def _window(self, start: int) -> Window:
        tokens = tuple(self._wikitext[start : start + WINDOW])
        return Window(id=f"wikitext2@{start}", document=f"wikitext2/{start}", text_sha256="", tokens=tokens)

    @cached_property
    def _wikitext(self) -> list[int]:
        return self._tokenize((self._options.data / "wikitext2.test.raw").read_text())

    @cached_property
    def _c4(self) -> tuple[Window, ...]:
        documents = read_local(str(self._options.data / "c4.train.first1000.jsonl"))
        total = CAPTURED + sum(SEARCH.sizes) + self._options.fit_windows + RIDGE + NUM_JUDGED
        return cut_windows([documents], self._tokenize, total, WINDOW, 0).windows

    def _tokenize(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _put(self, value: object) -> Reference:
        return self._vault.put("values", encode(value), ".json")

    def _run(self, request: Request) -> dict[str, Reference]:
        return run_stage(self._vault, request).outputs
