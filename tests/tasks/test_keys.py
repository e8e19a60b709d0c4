"""A stage's key depends on everything that determines its result, and on nothing else.

The keys below are pinned: where one changes, results in existing stores are no longer found. If the stage's meaning
changed, raise its VERSION and pin the new key; if it did not, the change is a mistake.
"""

from dataclasses import replace

import pytest

from lorp.corpus.media import PairKind
from lorp.digest import FileDigest
from lorp.evaluation.downstream.sources import TaskSource
from lorp.promotion import Canary
from lorp.spec import (
    CalibrationSpec,
    ComputeSpec,
    DownstreamSpec,
    EvaluationSpec,
    GateSpec,
    GenerationSpec,
    PruningSpec,
    SpeedSpec,
)
from tasks.capture import CaptureShard
from tasks.corpora import FetchRows
from tasks.downstream import AnswerQuestions, AskQuestions
from tasks.evaluate import Evaluate, Generate
from tasks.fetch import FetchFolder, FetchGguf, FetchHub
from tasks.frontier import Look
from tasks.gate import Gate
from tasks.heal import Heal
from tasks.mixtures import CompareMixtures, TriedMixture
from tasks.plan import Cluster, Plan, Prune, Resample, Score
from tasks.promotion import AnswerCanaries
from tasks.search import GuessDepth, Search
from tasks.speed import CompareSpeed
from tasks.stage import Request
from tasks.trials import Trial
from tasks.vault import Reference
from tasks.windows import CutWindows

CHECKPOINT = Reference(
    key="checkpoints/c", sha256="c", bytes=3, files=(FileDigest(name="tokenizer.json", sha256="t", bytes=3),)
)
A, B = (Reference(key=f"values/{name}", sha256=name, bytes=1) for name in "ab")
CPU = ComputeSpec()

WINDOWS = CutWindows(
    use="calibration", checkpoint=CHECKPOINT, calibration=CalibrationSpec(), evaluation=EvaluationSpec(), mixture=(1,),
    sizes=(32,), corpus_sha256="d",
)  # fmt: skip
ROWS = FetchRows(address="hf://datasets/o/n@main/en:train#text", commit="c", max_characters=9)
ROWS_OF_PAIRS, ROWS_OF_SOUNDS, ROWS_OF_IMAGES = (
    replace(ROWS, address=f"hf://datasets/o/n@main/en:train#file:text{kind}") for kind in ("", ",sound", ",image")
)
CAPTURE = CaptureShard(checkpoint=CHECKPOINT, windows=A, first=0, sampled_tokens=8, seed=0, compute_spec=CPU)
PLAN = Plan(similarity=A, clustering=B, spec=PruningSpec(method="lorp"), count=3)
SEARCH = Search(
    checkpoint=CHECKPOINT, similarity=A, clustering=B, windows=A, mended=True, max_swaps=60, seed=0, compute_spec=CPU,
    spec=PruningSpec(), count=3,
)  # fmt: skip
HEAL = Heal(checkpoint=CHECKPOINT, plan=A, windows=B, method="auto", compute_spec=CPU)
TRIAL = Trial(known={"checkpoint": "c"}, removed=(1, 2), mended=True, ask=tuple)
GUESS = GuessDepth(
    checkpoint=CHECKPOINT, similarity=A, clustering=B, windows=A, mended=True, max_swaps=60, seed=0, compute_spec=CPU,
    max_perplexity_ratio=1.5, max_perplexity=None,
)  # fmt: skip
RESAMPLE = Resample(shards=(A, B), spec=PruningSpec(method="lorp"), count=3, seed=0)
LOOK = Look(checkpoint=CHECKPOINT, windows=A, first=16, size=8, compute_spec=CPU)
TRIED = TriedMixture(mixture=(1, 2), similarity=A)
MIXTURES = CompareMixtures(dense=A, tried=(TRIED,), count=3)
EVALUATE = Evaluate(checkpoint=CHECKPOINT, windows=A, num_windows=64, compute_spec=CPU)
GENERATE = Generate(
    checkpoint=CHECKPOINT, windows=A, num_windows=64, spec=GenerationSpec(), compute_spec=CPU,
)  # fmt: skip
SPEED = CompareSpeed(dense=CHECKPOINT, variant=CHECKPOINT, windows=A, spec=SpeedSpec(), compute_spec=CPU)
GATE = Gate(variant=CHECKPOINT, evaluations={"dense": A, "pruned": B, "speed": A}, spec=GateSpec())
TEXT = TaskSource(kind="continuation", name="continuation")
TASK_ROWS = TaskSource(kind="rows", name="copa", pin="r", path="/x/copa.jsonl")
ASK = AskQuestions(checkpoint=CHECKPOINT, windows=A, sources=(TEXT, TASK_ROWS), spec=DownstreamSpec())
ANSWER = AnswerQuestions(checkpoint=CHECKPOINT, questions=A, compute_spec=CPU)
CANARIES = AnswerCanaries(
    variant=CHECKPOINT, canaries=(Canary(prompt="p", contains=("c",)),), max_new_tokens=32, compute_spec=CPU,
)  # fmt: skip
PINNED: list[tuple[Request, str]] = [
    (FetchFolder(path="/x", sha256="s"), "fetch-v1-14d677c9639c58045d6fff6b334f785660c679a3932785c6911410179b479a3c"),
    (
        FetchGguf(path="/x", sha256="s", dtype="float32"),
        "fetch-v1-119b045f854d267b1305c1c2b1e6107752480e24585058b1221d507bae421359",
    ),
    (
        FetchHub(repo="org/name", commit="c"),
        "fetch-v1-2ab4cb0817b943b65c1ce1fef4da35e2b8663a0ddeb774d00c7933db28dfd4f3",
    ),
    (ROWS, "corpus-v1-a9c412d643448ca00e3523461c09f3622ad66c93524783485580a450ee9977e8"),
    (WINDOWS, "windows-v2-28f46c439ec5df73109e0d7c17e84a69db2713fd19643e0738d6946f6034395c"),
    (CAPTURE, "capture-v2-ba4253da716e7c3edc8842b0fc3bc201cd441cd5626d48cfd7f5e4fbd2967753"),
    (Score(shards=(A, B), seed=0), "score-v2-b0e4bb643b51556a48da76019d197b70161aba58980d5d8b581ecec174d96bca"),
    (
        Cluster(similarity=A, kind="spectral", num_clusters=None),
        "cluster-v1-d38c7d1635c87e1d55b472b3fdfeb18114e3b6b92c967938e480056070e2b850",
    ),
    (PLAN, "plan-v1-cbe7a26506c1540e9e951fc0a2edaad919f1102d317958301a15f5d04486d693"),
    (SEARCH, "search-v3-bbc5f52c04b2c0d05f6d575ed2977402df6e4525817d007ff745fccd9a5360f3"),
    (HEAL, "heal-v2-1092e8eafb07375d36d3dfc46783b5c226c1279a5a450feef8933032fec5c052"),
    (LOOK, "look-v1-9d7e433d352c182bea1c418fa420161d5a9038f7051f7145e0856b14ef25d501"),
    (TRIAL, "trial-v1-bd9e5ff193d2de064e99f624207147bfe768a7224ea7a370999616b4b5d1ec94"),
    (GUESS, "guess-v2-141ab64ea99c96a251b4a8d2f95f3cbdf4d1e05434b8b456a59a698d3d6df807"),
    (RESAMPLE, "resample-v2-867f251d6f446697db080c22546963aaa10bfddee1e91f2b8a67ddf67b30d885"),
    (Prune(checkpoint=CHECKPOINT, plan=A), "prune-v2-834ad739559dea046c696f18228fa534fda32b7614ca1d97d7680ec7af8d05bb"),
    (MIXTURES, "mixtures-v2-af6c423b69fcb83648313888c2fe34a143f608406ea302447c5fe829709ee849"),
    (replace(WINDOWS, mixture=(1, 2)), "windows-v2-5b7b32c83b3b82aa0e82ad53c950bd52ef583adff50b5ae86bc4c713069c5553"),
    (EVALUATE, "evaluate-v1-7c53e8b66194c5045f6b8954f2ce005a4ef2b010b05ae4b3cf82b52458791420"),
    (GENERATE, "generate-v1-f9a70dbc528174487bcf063878c294d42396671e7ca78d3e490da13f56b8d268"),
    (GATE, "gate-v3-d61d1f4d96cd2d637dc99440dee1dcc59e98de3d7efc50e15a77f44a0e14fb6d"),
    (ASK, "questions-v1-f2447e9977665f95a36b6724fe8831e7563b88bce087009fd6cd9c524e82fb2b"),
    (CANARIES, "canaries-v1-3a23f8bc2c23e13fee0ba9f2163af235188a0dfcce9ae00334e12074724aa21a"),
    (ANSWER, "answers-v1-e34b586a6d7478293428d937167c6ee4aa5fcfcd6973d575ea8a6ef23b2a924d"),
]


@pytest.mark.parametrize(("request_", "key"), PINNED, ids=lambda value: getattr(value, "STAGE", ""))
def test_keys_are_pinned(request_: Request, key: str) -> None:
    assert request_.key == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FetchFolder(path="/x", sha256="s"), FetchFolder(path="/y", sha256="s")),
        (ROWS, replace(ROWS, address="hf://datasets/o/n@v1/en#text,joined")),
        (ROWS_OF_IMAGES, replace(ROWS_OF_IMAGES, address="hf://datasets/o/n@v1/en#file:text,image")),
        (WINDOWS, replace(WINDOWS, calibration=CalibrationSpec(corpora=("a.txt",)), fetched=(("b", A),))),
        (WINDOWS, replace(WINDOWS, evaluation=EvaluationSpec(seed=5))),
        (CAPTURE, replace(CAPTURE, compute_spec=ComputeSpec(device="cpu:0"))),
        (PLAN, replace(PLAN, spec=PruningSpec(remove=0.1, method="lorp"))),
        (SEARCH, replace(SEARCH, spec=PruningSpec(remove=3))),
        (GUESS, replace(GUESS, seed=1, max_swaps=0)),
        (RESAMPLE, replace(RESAMPLE, spec=PruningSpec(method="lorp", remove=3))),
        (GATE, replace(GATE, evaluations={"dense": A, "pruned": B, "speed": B})),
        (ASK, replace(ASK, sources=(TEXT, replace(TASK_ROWS, path="/y/copa.jsonl")))),
        (replace(ASK, sources=(TASK_ROWS,)), replace(ASK, sources=(TASK_ROWS,), windows=B)),
        (ANSWER, replace(ANSWER, compute_spec=ComputeSpec(device="cpu:0"))),
    ],
)
def test_what_does_not_change_the_result_does_not_change_the_key(one: Request, other: Request) -> None:
    assert one.key == other.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FetchGguf(path="/x", sha256="s", dtype="float32"), FetchGguf(path="/x", sha256="s", dtype="bfloat16")),
        (FetchGguf(path="/x", sha256="s", dtype="float32"), FetchFolder(path="/x", sha256="s")),
        (FetchHub(repo="org/name", commit="c"), FetchHub(repo="org/name", commit="d")),
        (FetchHub(repo="org/name", commit="c"), FetchHub(repo="org/other", commit="c")),
        (ROWS, replace(ROWS, commit="d")),
        (ROWS, replace(ROWS, max_characters=10)),
        (ROWS, replace(ROWS, address="hf://datasets/o/n@main:train#text")),
        (ROWS, replace(ROWS, address="hf://datasets/o/n@main/en:test#text")),
        (ROWS, replace(ROWS, address="hf://datasets/o/n@main/en:train#content")),
        (ROWS, ROWS_OF_PAIRS),
        (ROWS_OF_PAIRS, ROWS_OF_SOUNDS),
        (ROWS_OF_SOUNDS, ROWS_OF_IMAGES),
        (WINDOWS, replace(WINDOWS, corpus_sha256="e")),
        (WINDOWS, replace(WINDOWS, calibration=CalibrationSpec(seed=1))),
        (WINDOWS, replace(WINDOWS, calibration=CalibrationSpec(packing="packed"))),
        (WINDOWS, replace(WINDOWS, use="healing")),
        (replace(WINDOWS, use="healing"), replace(WINDOWS, use="healing", skipped=8)),
        (replace(WINDOWS, use="healing"), replace(WINDOWS, use="healing", spared=8)),
        (WINDOWS, replace(WINDOWS, model_type="llama")),
        (WINDOWS, replace(WINDOWS, mixture=(1, 2))),
        (RESAMPLE, replace(RESAMPLE, by_corpus=True)),
        (SEARCH, replace(SEARCH, by_corpus=True)),
        (MIXTURES, replace(MIXTURES, count=4)),
        (MIXTURES, replace(MIXTURES, dense=B)),
        (MIXTURES, replace(MIXTURES, tried=(TRIED, replace(TRIED, refused="no")))),
        (MIXTURES, replace(MIXTURES, tried=(replace(TRIED, similarity=B),))),
        (MIXTURES, replace(MIXTURES, tried=(replace(TRIED, losses=A),))),
        (CAPTURE, replace(CAPTURE, first=8)),
        (CAPTURE, replace(CAPTURE, compute_spec=ComputeSpec(dtype="bfloat16"))),
        (CAPTURE, replace(CAPTURE, sampled_tokens=9)),
        (PLAN, replace(PLAN, count=4)),
        (SEARCH, replace(SEARCH, count=4)),
        (SEARCH, replace(SEARCH, mended=False)),
        (SEARCH, replace(SEARCH, max_swaps=0)),
        (SEARCH, replace(SEARCH, seed=1)),
        (SEARCH, replace(SEARCH, windows=B)),
        (TRIAL, replace(TRIAL, mended=False)),
        (TRIAL, replace(TRIAL, removed=(1, 3))),
        (GUESS, replace(GUESS, max_perplexity_ratio=1.4)),
        (GUESS, replace(GUESS, max_perplexity=50.0)),
        (RESAMPLE, replace(RESAMPLE, spec=PruningSpec(method="lorp", clustering="agglomerative"))),
        (RESAMPLE, replace(RESAMPLE, seed=1)),
        (HEAL, replace(HEAL, method="refit")),
        (HEAL, replace(HEAL, windows=A)),
        (LOOK, replace(LOOK, first=24)),
        (LOOK, replace(LOOK, windows=B)),
        (PLAN, replace(PLAN, spec=PruningSpec(method="shortgpt"))),
        (PLAN, replace(PLAN, spec=PruningSpec(method="lorp", criterion="residual-variance"))),
        (EVALUATE, replace(EVALUATE, windows=B)),
        (GENERATE, replace(GENERATE, spec=GenerationSpec(num_prompts=8))),
        (SPEED, replace(SPEED, spec=SpeedSpec(repeats=3))),
        (SPEED, replace(SPEED, compute_spec=ComputeSpec(dtype="bfloat16"))),
        (ASK, replace(ASK, windows=B)),
        (ASK, replace(ASK, sources=(TASK_ROWS, TEXT))),
        (ASK, replace(ASK, sources=(TEXT, replace(TASK_ROWS, pin="s")))),
        (ASK, replace(ASK, sources=(TEXT, replace(TASK_ROWS, name="xcopa")))),
        (ASK, replace(ASK, spec=DownstreamSpec(num_fewshot=1))),
        (ASK, replace(ASK, spec=DownstreamSpec(limit=0))),
        (ASK, replace(ASK, spec=DownstreamSpec(seed=1))),
        (ANSWER, replace(ANSWER, questions=B)),
        (ANSWER, replace(ANSWER, compute_spec=ComputeSpec(dtype="bfloat16"))),
        (CANARIES, replace(CANARIES, canaries=(Canary(prompt="p", excludes=("c",)),))),
        (CANARIES, replace(CANARIES, max_new_tokens=8)),
        (GATE, replace(GATE, spec=GateSpec(max_perplexity_ratio=1.2))),
        (GATE, replace(GATE, spec=GateSpec(min_speedup=1.0))),
        (GATE, replace(GATE, evaluations={"dense": A, "pruned": A})),
        (GATE, replace(GATE, evaluations={"dense": B, "pruned": A})),
    ],
)
def test_what_changes_the_result_changes_the_key(one: Request, other: Request) -> None:
    assert one.key != other.key


def test_windows_of_pairs_have_keys_of_their_own() -> None:
    """By kind, and where the config names tokens around a sound or an image, by that too."""

    def key(pairs: PairKind | None, config: str = "c") -> str:
        files = (*CHECKPOINT.files, FileDigest(name="config.json", sha256=config, bytes=3))
        return replace(WINDOWS, pairs=pairs, checkpoint=replace(CHECKPOINT, files=files)).key

    kinds: list[PairKind | None] = [None, "text", "sound", "image"]
    assert len({key(kind) for kind in kinds}) == 4
    assert key(None) == WINDOWS.key
    assert [key(kind) == key(kind, "other") for kind in kinds] == [True, True, False, False]
