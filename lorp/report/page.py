"""Everything that a run made -> the page on which a person sees what was done and why the gate said what it said.

The page is one HTML file that asks nothing of anyone: no script, no font, no image from elsewhere. The same data give
the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from lorp.clustering import Clustering
from lorp.corpus.address import pair_kind
from lorp.corpus.media import PairKind
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.expert_load import ExpertLoad
from lorp.gate import CriterionResult, Evidence, Verdict
from lorp.healing.patch import Patch
from lorp.plan import PruningPlan, of_its
from lorp.report import text
from lorp.report.budget_line import budget_line
from lorp.report.colours import cluster_swatch
from lorp.report.corpora import corpora_section
from lorp.report.experts import expert_section
from lorp.report.frontier import frontier_section
from lorp.report.healing import healing_section
from lorp.report.heat_map import heat_map
from lorp.report.kinds import kind_section
from lorp.report.losses import budget_lines, hardest_hit, model_perplexity
from lorp.report.measurements import generation_section, speed_section, tasks_section
from lorp.search.frontier import Frontier
from lorp.search.mixtures import MixtureComparison
from lorp.similarity import Similarity
from lorp.spec import RecompressSpec
from lorp.stability import Stability

_TEMPLATE = "report.html.j2"
_DOCUMENTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """Something that the run keeps in the object store.

    Attributes:
        role: What it is to the run: `checkpoint`, `plan`, `variant`.
        key: Its address in the store.
        sha256: Its digest; of a folder, the digest over its files.
        bytes: Its size.
    """

    role: str
    key: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class StageLine:
    """One stage of the run.

    Attributes:
        stage: Its name.
        key: Its cache key.
    """

    stage: str
    key: str


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that the page shows.

    Attributes:
        source: The source as it was given.
        name: The registered model's name.
        spec: What was asked for.
        num_blocks: Blocks of the dense model.
        similarity: Of block boundaries.
        clustering: Of blocks.
        plan: Which blocks were removed.
        mended: Whether plans were compared as mended.
        stability: How sure that is, where it is known.
        patch: How the others were healed, if they were.
        mixtures: How mixtures of corpora compare, if the best was asked for.
        frontier: What was looked at to find how deep to cut, if that was left open.
        expert_loads: What routers chose, in the dense model and in the variant, if they have experts.
        evidence: What was measured of dense model and variant.
        verdict: What the gate said.
        dense_bytes: Weights of the dense model on disk.
        variant_bytes: Weights of the variant on disk.
        objects: What is kept in the store.
        stages: Where the results came from.
    """

    source: str
    name: str
    spec: RecompressSpec
    num_blocks: int
    similarity: Similarity
    clustering: Clustering
    plan: PruningPlan
    mended: bool = False
    stability: Stability | None = None
    patch: Patch | None = None
    mixtures: MixtureComparison | None = None
    frontier: Frontier | None = None
    expert_loads: tuple[ExpertLoad, ExpertLoad] | None = None
    evidence: Evidence
    verdict: Verdict
    dense_bytes: int
    variant_bytes: int
    objects: tuple[StoredObject, ...]
    stages: tuple[StageLine, ...]

    def __post_init__(self) -> None:
        assert self.num_blocks == self.similarity.num_blocks == self.plan.num_blocks == len(self.clustering.labels)

    @property
    def dense(self) -> PerplexityEvaluation:
        """Losses of the dense model."""
        return self.evidence.dense.perplexity

    @property
    def pruned(self) -> PerplexityEvaluation:
        """Losses of the variant."""
        return self.evidence.pruned.perplexity

    @property
    def pairs(self) -> PairKind | None:
        """From what the texts that were evaluated are made; None if they are texts by themselves."""
        named = next((kind for kind in map(pair_kind, self.spec.evaluation.corpora) if kind), None)
        return named or ("text" if self.plan.stack else None)

    @property
    def confirmed(self) -> bool:
        """Whether the best plans were compared once more, on other windows."""
        return any(entry.confirmed_loss is not None for entry in self.plan.proposals)

    @property
    def ratio(self) -> CriterionResult | None:
        """The criterion of the perplexity ratio, if the gate has it."""
        return next((item for item in self.verdict.criteria if item.name == text.RATIO), None)


def render_report(data: ReportData) -> str:
    """The page as HTML.

    All text is escaped; a lone surrogate, which a file's name may hold and UTF-8 may not, is written as its number.
    """
    confidence = data.spec.gate.confidence
    template = environment().get_template(_TEMPLATE)
    page = template.render(
        data=data,
        headline=text.headline(data.plan, data.verdict),
        heat_map=heat_map(data.similarity.block_inputs, data.clustering.labels, data.plan.removed),
        clusters=data.clustering.clusters,
        models=(
            model_perplexity("dense", data.dense, confidence),
            model_perplexity("pruned", data.pruned, confidence),
        ),
        lines=[(line.caption, budget_line(line)) for line in budget_lines(data.verdict.criteria, data.dense)],
        hardest_hit=hardest_hit(data.dense, data.pruned, _DOCUMENTS_SHOWN),
        corpora=corpora_section(
            data.spec.calibration, data.similarity, data.stability, data.mixtures, data.plan.removed
        ),
        frontier=frontier_section(data.frontier, data.spec.gate.max_perplexity_ratio),
        healing=healing_section(data.patch),
        experts=expert_section(data.expert_loads, data.plan),
        kinds=kind_section(data.similarity, data.clustering, data.plan),
        tasks=tasks_section(data.evidence, confidence),
        generation=generation_section(data.evidence, confidence),
        speed=speed_section(data.evidence, confidence),
        score_meaning=text.score_meaning(data.plan.method, data.spec.pruning.criterion),
        asked=asked_for(data.spec),
    )
    return page.encode("utf-8", "backslashreplace").decode()


def asked_for(spec: RecompressSpec) -> dict[str, tuple[tuple[str, str], ...]]:
    """A spec for people: its parts, with the name and value of each field."""
    fields = spec.model_dump(mode="json")
    job = {name: value for name, value in fields.items() if not isinstance(value, dict)}
    parts = {"job": job} | {name: value for name, value in fields.items() if isinstance(value, dict)}
    return {
        part: tuple((_label(name), _value_text(name, value)) for name, value in values.items())
        for part, values in parts.items()
    }


def _label(name: str) -> str:
    return name.removeprefix("num_").replace("_", " ")


_AUTO = {"remove": "as many as the budgets allow"}
_UNSET = {"name": "as the source", "num_clusters": "as RLS says", "max_perplexity": "none"}


def _value_text(name: str, value: object) -> str:
    if value is None:
        return _UNSET.get(name, "none")
    if value == "auto":
        return _AUTO.get(name, "auto")
    if name == "remove":
        return f"{text.exactly(value)} of depth" if isinstance(value, float) else text.counted(value, "block")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return text.exactly(value) if isinstance(value, float) else str(value)


def environment() -> Environment:
    """How pages are made: all text is escaped, and what is not given is a mistake."""
    environment = Environment(
        loader=PackageLoader("lorp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters()
    environment.globals |= {"swatch": cluster_swatch, "saving": text.saving}
    return environment


def filters() -> dict[str, Callable[..., str]]:
    """How templates write numbers and names."""
    return {
        "number": text.number,
        "number_beside": text.number_beside,
        "exactly": text.exactly,
        "size": text.size,
        "percent": text.percent,
        "criterion": text.criterion_label,
        "named": text.named_blocks,
        "limit": text.limit,
        "counted": text.counted,
        "made_from": text.made_from,
        "of_its": of_its,
    }
