"""The report page: what it must say, and that nothing given to it can become markup."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from lorp.clustering import Clustering
from lorp.evaluation.generation import Continuation, GenerationEvaluation
from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.evaluation.speed import Memory, Round, SpeedComparison, Timing
from lorp.gate import CriterionResult, Evidence, Measured, Verdict, judge
from lorp.healing import SiteRepair
from lorp.healing.patch import Patch
from lorp.plan import Proposal, Removal, plan_of
from lorp.report import ReportData, StageLine, StoredObject, render_report
from lorp.report.axes import block_labels, block_runs, ratio_ticks, scale_to_one
from lorp.report.budget_line import BudgetLine, budget_line
from lorp.report.colours import VIRIDIS, scale_colour
from lorp.report.heat_map import heat_map
from lorp.report.losses import hardest_hit, model_perplexity
from lorp.report.text import exactly, headline, number, number_beside, saving, size
from lorp.similarity import Similarity, rls
from lorp.spec import RecompressSpec

SCRIPT = "<script>alert('x')</script>"
GAP = "\u00a0"
TOPICS = tuple(f"topic-{number_of % 18}" for number_of in range(64))


def evaluation(losses: Sequence[float | None], documents: Sequence[str]) -> PerplexityEvaluation:
    items = [
        WindowLoss(window=f"{document}@{index}", document=document, num_predicted=255, loss=loss)
        for index, (loss, document) in enumerate(zip(losses, documents, strict=True))
    ]
    return PerplexityEvaluation(checkpoint="c" * 64, windows_sha256="w" * 64, num_expected=64, losses=tuple(items))


def similarity_of_blocks(num_blocks: int) -> Similarity:
    depth = np.arange(num_blocks + 1)
    boundaries = 0.4 + 0.6 * np.exp(-np.abs(depth[:, None] - depth) / num_blocks)
    return Similarity(
        boundaries=tuple(tuple(map(float, row)) for row in boundaries),
        rls=rls(boundaries[:-1, :-1]),
        rls_low=0.41,
        rls_high=0.47,
        num_windows=32,
        num_tokens=8192,
        num_documents=18,
    )


def make_data(
    num_blocks: int = 30,
    removed: Sequence[int] = (19, 6, 27),
    *,
    shift: float = 0.8,
    source: str = "models/dense",
    documents: Sequence[str] = TOPICS,
    broken: bool = False,
    max_perplexity: float | None = None,
) -> ReportData:
    spec = RecompressSpec.model_validate(
        {"source": source, "pruning": {"remove": len(removed)}, "gate": {"max_perplexity": max_perplexity}}
    )
    base = [3.5 + 0.3 * math.sin(index) for index in range(64)]
    pruned_losses: list[float | None] = [loss + shift + 0.02 * math.cos(3 * i) for i, loss in enumerate(base)]
    if broken:
        pruned_losses[5] = None
    dense, pruned = evaluation(base, documents), evaluation(pruned_losses, documents)
    evidence = Evidence(dense=Measured(perplexity=dense), pruned=Measured(perplexity=pruned))
    criteria = judge(evidence, spec.gate)
    approved = all(criterion.passed for criterion in criteria)
    labels = tuple(min(block * 4 // num_blocks, 3) for block in range(num_blocks))
    steps = [Removal(block=block, cluster=labels[block], score=0.9 + block / 1000) for block in removed]
    return ReportData(
        source=source,
        name="dense",
        spec=spec,
        num_blocks=num_blocks,
        similarity=similarity_of_blocks(num_blocks),
        clustering=Clustering(kind="spectral", labels=labels),
        plan=plan_of("lorp", num_blocks, steps),
        evidence=evidence,
        verdict=Verdict(variant="a" * 64, evaluation="b" * 64, gate="d" * 64, approved=approved, criteria=criteria),
        dense_bytes=538_090_408,
        variant_bytes=495_612_000,
        objects=(StoredObject(role="plan", key="values/1.json", sha256="1" * 64, bytes=412),),
        stages=(StageLine(stage="prune", key="prune-v1-2"),),
    )


class _Page(HTMLParser):
    """Collects a page's tags, the attributes that could fetch something, and rows of its tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data.strip()


def row_of(page: str, head: str) -> list[str]:
    return next(row for row in _Page(page).rows if row and row[0] == head)


def test_what_is_given_never_becomes_markup() -> None:
    hostile = f'"{SCRIPT}'
    data = make_data(source=hostile, documents=[f"{SCRIPT}{index % 18}" for index in range(64)])
    data = replace(
        data,
        name=hostile,
        objects=(StoredObject(role=hostile, key=hostile, sha256=hostile, bytes=1),),
        stages=(StageLine(stage=hostile, key=hostile),),
        verdict=replace(data.verdict, criteria=(replace(data.verdict.criteria[0], name=hostile, reason=hostile),)),
    )
    page = render_report(data)
    assert "script" not in _Page(page).tags
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 12


def test_a_file_name_that_is_no_unicode_can_be_written() -> None:
    assert b"caf\\udce9" in render_report(replace(make_data(), source="caf\udce9")).encode()


def test_the_page_stands_alone() -> None:
    page = render_report(make_data(num_blocks=5, removed=(2,)))
    parsed = _Page(page)
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(parsed.tags)
    assert not [pair for pair in parsed.attributes if pair[0] in ("src", "href", "xlink:href", "srcset", "action")]
    assert not re.search(r"https?:|@import", page)
    assert set(re.findall(r"url\((.)", page)) == {"#"}


@pytest.mark.parametrize(
    ("num_blocks", "removed"), [(3, (1,)), (5, (3, 1)), (30, (19, 6, 27)), (80, tuple(range(9, 40)))]
)
def test_every_removed_block_is_marked(num_blocks: int, removed: tuple[int, ...]) -> None:
    page = render_report(make_data(num_blocks, removed))
    for kind in ("mark", "struck", "removed"):
        marked = [int(block) for block in re.findall(rf'data-{kind}="(\d+)"', page)]
        assert sorted(marked) == sorted(removed)


def test_removed_blocks_stand_in_the_order_chosen() -> None:
    page = render_report(make_data())
    assert re.findall(r'data-removed="(\d+)"', page) == ["19", "6", "27"]
    assert ["1", "19", "2", "0.9190"] in _Page(page).rows


def test_the_gate_s_table_holds_every_criterion() -> None:
    data = make_data(max_perplexity=10_000.5)
    page = render_report(data)
    ratio, perplexity = data.verdict.criteria
    assert row_of(page, "Perplexity ratio (pruned / dense)") == [
        "Perplexity ratio (pruned / dense)", number(ratio.value), number(ratio.bound), f"≤{GAP}1.5", "✕ fail",
        ratio.reason,
    ]  # fmt: skip
    assert row_of(page, "Perplexity of the pruned model")[3:] == [f"≤{GAP}10,000.5", "✓ pass", perplexity.reason]


@pytest.mark.parametrize(("shift", "said", "unsaid"), [(0.8, "REJECTED", "APPROVED"), (0.1, "APPROVED", "REJECTED")])
def test_the_badge_says_the_verdict_in_words(shift: float, said: str, unsaid: str) -> None:
    page = render_report(make_data(shift=shift))
    assert said in page
    assert unsaid not in page


def test_the_headline_says_what_was_done_and_what_the_gate_said() -> None:
    rejected, approved = make_data(), make_data(shift=0.1)
    assert headline(rejected.plan, rejected.verdict) == (
        "Removing 3 of 30 blocks (6, 19, 27) multiplies perplexity by 2.226; "
        "the upper bound, 2.228, is over the budget of 1.5, so the gate rejected it."
    )
    assert headline(approved.plan, approved.verdict).endswith("is within the budget of 1.5, so the gate approved it.")


def test_the_headline_names_a_second_criterion_that_fails() -> None:
    data = make_data(shift=0.1, max_perplexity=20)
    sentence = headline(data.plan, data.verdict)
    assert "within the budget of 1.5; Perplexity of the pruned model: upper bound" in sentence
    assert sentence.endswith("over the budget of 20, so the gate rejected it.")


def test_a_loss_that_is_not_finite_is_said_and_nothing_is_drawn() -> None:
    page = render_report(make_data(broken=True, max_perplexity=50))
    reason = "the pruned evaluation has losses that are not finite"
    assert row_of(page, "Perplexity ratio (pruned / dense)")[1:] == ["–", "–", f"≤{GAP}1.5", "✕ fail", reason]
    assert row_of(page, "pruned") == ["pruned", "not finite", "–", "–"]
    assert f"could not be judged: {reason}, so the gate rejected it." in page
    assert 'class="budget-line"' not in page
    assert "highest ratio" not in page
    assert not re.search(r"\b(nan|inf|None)\b", page)


def test_the_same_data_give_the_same_bytes() -> None:
    assert render_report(make_data()) == render_report(make_data())


def test_sizes_stages_objects_and_documents_are_shown() -> None:
    page = render_report(make_data())
    assert f"513.2{GAP}MiB → 472.7{GAP}MiB" in page
    assert f"7.89{GAP}% saved" in page
    assert row_of(page, "prune") == ["prune", "prune-v1-2"]
    assert row_of(page, "plan") == ["plan", "values/1.json" + "1" * 64, f"412{GAP}B"]
    assert "64 windows of 256 tokens from 18 documents" in page
    assert row_of(page, "remove") == ["remove", "3 blocks"]


def test_a_selector_without_clusters_has_none_in_its_rows() -> None:
    data = make_data()
    steps = [replace(step, cluster=None) for step in data.plan.steps]
    page = render_report(replace(data, plan=plan_of("shortgpt", 30, steps)))
    assert ["1", "19", "–", "0.9190"] in _Page(page).rows
    assert "does not use clusters" in page


@pytest.mark.parametrize("mended", [False, True])
@pytest.mark.parametrize("confirmed", [None, 3.5])
def test_what_was_compared_is_told_as_it_was_compared(mended: bool, confirmed: float | None) -> None:
    data = make_data()
    proposal = Proposal(method="lorp", removed=data.plan.removed, loss=3.4, confirmed_loss=confirmed)
    page = render_report(replace(data, plan=replace(data.plan, proposals=(proposal,)), mended=mended))
    assert ("of the plans once the MLP before each gap is refitted, on" in page) == mended
    assert ("of the plans as they are, on" in page) != mended
    assert ("once more on others, which decides" in page) == (confirmed is not None)


def test_a_report_of_unlike_parts_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        make_data().__class__(**{**vars(make_data()), "num_blocks": 29})


def test_the_hardest_hit_documents_come_first() -> None:
    documents = ["b", "a", "c", "a"]
    dense, pruned = evaluation([1.0, 1.0, 1.0, 1.0], documents), evaluation([1.5, 1.5, 1.1, 1.5], documents)
    changes = hardest_hit(dense, pruned, 2)
    assert [(change.document, change.num_windows) for change in changes] == [("a", 2), ("b", 1)]
    assert changes[0].ratio == pytest.approx(math.exp(0.5))
    assert hardest_hit(dense, evaluation([1.5], ["b"]), 2) == ()


def test_a_perplexity_lies_between_its_bounds_however_long_windows_are() -> None:
    whole = evaluation([2.0, 6.0] * 32, [str(number) for number in range(64)])
    tokens = [1_000, 1] * 32
    uneven = [replace(item, num_predicted=n) for item, n in zip(whole.losses, tokens, strict=True)]
    shown = model_perplexity("dense", replace(whole, losses=tuple(uneven)), 0.95)
    assert shown.lower < shown.perplexity < shown.bound


def test_one_document_gives_no_bound() -> None:
    assert model_perplexity("dense", evaluation([1.0, 2.0], ["a", "a"]), 0.95).bound is None


def test_the_heat_map_has_a_cell_a_pair_and_shows_its_value() -> None:
    similarity = np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.75], [0.25, 0.75, 1.0]])
    drawn = heat_map(similarity, [0, 0, 1], [1])
    cells = re.findall(r'x="(\d)" y="(\d)"[^>]*fill="(#\w{6})"><title>blocks (\d) and (\d): ([\d.]+)<', drawn)
    assert len(cells) == 9
    for column, row, colour, first, second, value in cells:
        assert (row, column) == (first, second)
        assert value == f"{similarity[int(row), int(column)]:.3f}"
        assert colour == scale_colour((float(value) - 0.2) / 0.8)
    assert "cluster 0: blocks 0 to 1" in drawn


def test_colours_run_from_end_to_end() -> None:
    assert scale_colour(0) == VIRIDIS[0]
    assert scale_colour(0.5) == VIRIDIS[8]
    assert scale_colour(1) == VIRIDIS[-1] == scale_colour(1.2)


@pytest.mark.parametrize("smallest", [-1.0, -0.31, 0.0, 0.4, 0.66, 0.7, 0.97, 0.999, 1.0])
def test_a_scale_holds_the_smallest_value_and_ends_at_one(smallest: float) -> None:
    scale = scale_to_one(smallest)
    assert scale.start <= smallest + 1e-9
    assert scale.ticks[-1] == pytest.approx(1)
    assert 2 <= len(scale.ticks) <= 7
    assert (scale.share(scale.start), scale.share(1)) == (0, 1)


@pytest.mark.parametrize(("num_blocks", "cell"), [(5, 64), (30, 20), (36, 16), (80, 7), (126, 5)])
def test_axis_labels_never_touch_and_name_no_removed_block_as_kept(num_blocks: int, cell: int) -> None:
    removed = [1, 2, 3]
    labels = block_labels(num_blocks, removed, cell)
    gaps = [after.centre - before.centre for before, after in pairwise(labels)]
    assert min(gaps) * cell >= 13
    named = "1–3" if cell < 13 else "1"
    assert named in [label.text for label in labels if label.removed]
    assert not {"1", "2", "3"} & {label.text for label in labels if not label.removed}


def test_runs_of_blocks_are_shortened() -> None:
    assert block_runs([1, 4, 5, 7, 8, 9, 20]) == "1, 4, 5, 7–9, 20"


@pytest.mark.parametrize(("low", "high"), [(0.97, 1.03), (0.9, 2.6), (0.9, 30), (0.5, 1e6), (1e-9, 1e11)])
def test_ticks_are_few_and_within_the_axis(low: float, high: float) -> None:
    ticks = ratio_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    assert low <= ticks[0]
    assert ticks[-1] <= high
    assert list(ticks) == sorted(ticks)


def test_a_bound_over_the_budget_is_drawn_on_its_far_side() -> None:
    drawn = budget_line(BudgetLine(name="Ratio", reference=1, value=1.4, bound=1.6, budget=1.5))
    value = float(re.findall(r'cx="([\d.]+)"', drawn)[0])
    budget = float(re.findall(r'x1="([\d.]+)"[^>]*class="budget"', drawn)[0])
    bound = float(re.findall(r'x1="([\d.]+)"[^>]*class="reach"', drawn)[-1])
    assert value < budget < bound


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (math.nan, "not finite"), (math.inf, "not finite"), (45.2, "45.20"), (0.98217, "0.9822"),
        (23465.4, "23,465"), (999.96, "1,000"), (0.0, "0.000"), (-2.5, "-2.500"), (1.2e12, "1.200e+12"),
        (3e-7, "3.000e-07"),
    ],
)  # fmt: skip
def test_numbers_are_readable(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_number_is_never_rounded_onto_or_past_its_budget() -> None:
    assert number_beside(1.50003, 1.5) == "1.50003"
    assert number_beside(1.49999, 1.5) == "1.49999"
    assert number_beside(23465.4, 23465) == "23,465.4"
    assert number_beside(1.5, 1.5) == "1.500"
    assert exactly(1.50001) == "1.50001"


def test_units_are_human() -> None:
    assert [size(number_of) for number_of in (0, 1023, 1536, 5 * 1024**3)] == [
        f"0{GAP}B", f"1023{GAP}B", f"1.5{GAP}KiB", f"5.0{GAP}GiB",
    ]  # fmt: skip
    assert (saving(100, 90), saving(100, 100), saving(100, 120)) == (
        f"10.0{GAP}% saved", "nothing saved", f"20.0{GAP}% more",
    )  # fmt: skip


def test_a_verdict_without_a_ratio_still_has_its_sentence() -> None:
    only = CriterionResult(name="latency_ms", value=9, bound=9.5, budget=9, passed=False, reason="too slow")
    data = make_data()
    verdict = replace(data.verdict, criteria=(only,), approved=False)
    assert "Latency ms: too slow, so the gate rejected it." in headline(data.plan, verdict)
    assert row_of(render_report(replace(data, verdict=verdict)), "Latency ms")[4] == "✕ fail"


def continuation(number: int, text: str, tokens: Sequence[int], *, ended: bool = False) -> Continuation:
    return Continuation(
        prompt=f"d{number % 5}@{number}",
        document=f"d{number % 5}",
        prompt_text=f"prompt {number}",
        tokens=tuple(tokens),
        text=text,
        ended=ended,
    )


def generation(*continuations: Continuation) -> GenerationEvaluation:
    return GenerationEvaluation(
        checkpoint="c" * 64, windows_sha256="w" * 64, num_expected=len(continuations), continuations=continuations
    )


def with_more(generated: Sequence[GenerationEvaluation] = (), speed: SpeedComparison | None = None) -> ReportData:
    data = make_data()
    dense, pruned = (
        replace(model, generation=made)
        for model, made in zip((data.evidence.dense, data.evidence.pruned), generated or (None, None), strict=True)
    )
    return replace(data, evidence=Evidence(dense=dense, pruned=pruned, speed=speed))


def test_samples_stand_side_by_side_the_most_repetitive_first() -> None:
    dense = generation(*(continuation(number, f"sane {number}", range(20), ended=True) for number in range(32)))
    texts = [continuation(number, SCRIPT, range(20)) for number in range(32)]
    texts[7], texts[9] = continuation(7, "loop loop", [3] * 20), continuation(9, "", [])
    page = render_report(with_more((dense, generation(*texts))))
    assert page.index("prompt 9") < page.index("prompt 0")
    assert row_of(page, "prompt 9") == ["prompt 9", "sane 9", "(empty)… cut off"]
    assert SCRIPT not in page
    rates = row_of(page, "4-gram repetition rate")
    # One text of 17 4-grams of which 1 is new, and an empty one, of 32.
    assert rates[1:3] == [number(0.0, 3), number((16 / 17 + 1) / 32, 3)]
    assert " to " in rates[3]
    assert row_of(page, "Empty texts")[1:3] == ["0", "1"]
    assert row_of(page, "Cut off, not ended")[1:3] == ["0", "32"]


def test_speed_and_memory_are_shown_with_intervals() -> None:
    rounds = tuple(
        Round(dense=Timing(prefill=0.3 + step, decode=0.05), pruned=Timing(prefill=0.2, decode=0.04))
        for step in (0.0, 0.01, 0.02, 0.03, 0.04)
    )
    speed = SpeedComparison(
        dense="d", pruned="p", processor="CPU <x>", dtype="float32", threads=1, prefill_tokens=128, decode_tokens=8,
        rounds=rounds, dense_memory=Memory(weights=1 << 30, kv_token=2048, peak=1 << 31),
        pruned_memory=Memory(weights=1 << 29, kv_token=1024, peak=1 << 30),
    )  # fmt: skip
    page = render_report(with_more(speed=speed))
    assert row_of(page, "Prefill, ms") == ["Prefill, ms", "320", "200", "1.60 (1.50 to 1.70)"]
    assert row_of(page, "Weights") == ["Weights", f"1.0{GAP}GiB", f"512.0{GAP}MiB", "0.500 times"]
    assert "CPU &lt;x&gt;" in page
    assert "1 thread" in page


def test_what_was_not_measured_has_no_section() -> None:
    page = render_report(make_data())
    assert "What the models write" not in page
    assert "Speed and memory" not in page


def test_a_healed_plan_s_page_says_what_is_left_of_the_error_where() -> None:
    repairs = (
        SiteRepair(block=2, site="mlp_write", ridge=0.1, error=0.5264),
        SiteRepair(block=5, site="attention_read", ridge=0.01, error=0.8429),
        SiteRepair(block=5, site="mlp_write", ridge=None, error=1.0),
    )
    page = render_report(replace(make_data(), patch=Patch(method="refit", repairs=repairs, weights_sha256="0" * 64)))
    rows = re.findall(r'<tr data-healed="(\d+)">(.*?)</tr>', page)
    cells = {block: re.findall(r'<td class="n">([^<]*)</td>', row)[1:] for block, row in rows}
    assert cells == {"2": ["–", "52.6\u00a0%"], "5": ["84.3\u00a0%", "as it was"]}
    assert "Healing: refit" in page
    assert "Healing:" not in render_report(make_data())
