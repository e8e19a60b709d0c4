"""All values of a run -> the model card that goes with the variant, as Markdown."""

import json
import re
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

import lorp
from lorp.corpus.mixtures import names_of
from lorp.digest import FileDigest
from lorp.report import text
from lorp.report.losses import model_perplexity
from lorp.report.measurements import Row, generation_section, speed_section, tasks_section
from lorp.report.page import ReportData, asked_for, filters

_TEMPLATE = "card.md.j2"
_MARKS = re.compile(r"([\\`*_\[\]<>|#~])")

#: What hubs call what a model does, by the class that loads it.
_PIPELINES = {
    "AutoModelForCausalLM": "text-generation",
    "AutoModelForImageTextToText": "image-text-to-text",
    "AutoModelForSeq2SeqLM": "text2text-generation",
    "AutoModelForSpeechSeq2Seq": "automatic-speech-recognition",
}


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card says beyond what the report shows.

    Attributes:
        files: The variant's.
        source_digest: Over the source checkpoint's files.
        repository: The source on the hub, if it came from there.
        commit: Its commit.
        licence: The identifier of the source's licence, if it is named anywhere.
        licence_files: Names of the licence's own files, which the variant has too.
        model_class: The class of transformers that loads the variant.
    """

    files: tuple[FileDigest, ...]
    source_digest: str
    repository: str | None = None
    commit: str | None = None
    licence: str | None = None
    licence_files: tuple[str, ...] = ()
    model_class: str = "AutoModelForCausalLM"

    @property
    def sees(self) -> bool:
        """Whether the model takes images beside text."""
        return self.model_class == "AutoModelForImageTextToText"


def render_card(data: ReportData, facts: CardFacts, mixture: tuple[int, ...]) -> str:
    """The card: YAML front matter as model hubs read it, then Markdown. The same values give the same bytes.

    Args:
        data: What the report shows.
        facts: What the card adds.
        mixture: Numbers of the corpora that were calibrated on, from 1.
    """
    confidence = data.spec.gate.confidence
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            data=data,
            facts=facts,
            front=_front(facts),
            removed=data.plan.removed,
            headline=text.headline(data.plan, data.verdict),
            calibrated_on=", ".join(names_of(data.spec.calibration, mixture)),
            evaluated_on=", ".join(data.spec.evaluation.corpora),
            version=lorp.__version__,
            confidence=text.exactly(round(100 * confidence, 6)),
            healing=data.patch.method if data.patch else "none",
            healed=data.patch is not None and data.patch.method != "none",
            models=(
                model_perplexity("dense", data.dense, confidence),
                model_perplexity("pruned", data.pruned, confidence),
            ),
            rows=_rows(data, confidence),
            asked=asked_for(data.spec),
        )
    )


def _front(facts: CardFacts) -> list[str]:
    """Values are written as JSON, which YAML reads as what it is."""
    named = {
        "license": facts.licence,
        "base_model": facts.repository,
        "library_name": "transformers",
        "pipeline_tag": _PIPELINES[facts.model_class],
        "tags": ["lorp", "depth-pruning"],
    }
    return [f"{name}: {json.dumps(value)}" for name, value in named.items() if value]


def _rows(data: ReportData, confidence: float) -> list[Row]:
    """Whatever was measured beside perplexity."""
    sections = (
        tasks_section(data.evidence, confidence),
        generation_section(data.evidence, confidence),
        speed_section(data.evidence, confidence),
    )
    return [row for section in sections if section for row in section.rows]


def _escaped(value: object) -> str:
    """Text in which Markdown and HTML find nothing of their own, on one line."""
    return _MARKS.sub(r"\\\1", text.printable(str(value)))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lorp.report"),
        autoescape=False,  # noqa: S701 - Markdown; whatever comes from elsewhere goes through `md`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters() | {"md": _escaped}
    return environment
