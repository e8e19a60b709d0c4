"""All values of a run -> its report page and its variant's model card, stored beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorp.architectures import Family, family_of
from lorp.checkpoint import LICENCE_FILES, open_checkpoint
from lorp.config_file import CONFIG, read_json
from lorp.expert_load import ExpertLoad
from lorp.names import source_name, without_paths
from lorp.report import CardFacts, ReportData, StageLine, StoredObject, render_card, render_report
from lorp.search.recorded import TriedPlans
from lorp.spec import RecompressSpec
from lorp.values import decode
from tasks.chain import Chain, chain_of
from tasks.fetch import Licence
from tasks.results import RunResults, RunValues
from tasks.vault import Manifest, Reference, Vault

_MODELS = ("dense", "pruned")


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What people read of a run: equal results give equal bytes, whenever they were made.

    Attributes:
        report: The page, HTML.
        card: The variant's model card, Markdown.
        licence: The identifier of the source's licence, as the card has it.
    """

    report: Reference
    card: Reference
    licence: str | None = None


def make_pages(
    vault: Vault,
    spec: RecompressSpec,
    name: str,
    results: RunResults,
    values: RunValues,
    stages: Sequence[Manifest],
) -> Pages:
    """Renders and stores both."""
    chain = chain_of(stages)
    data = _report_data(vault, spec, name, results, values, chain)
    facts = _facts(vault, chain, family_of(read_json(vault.folder(results.checkpoint) / CONFIG)))
    card = render_card(data, facts, results.mixture)
    return Pages(
        licence=facts.licence,
        report=vault.put("values", render_report(data).encode(), ".html"),
        card=vault.put("values", card.encode(), ".md"),
    )


def _facts(vault: Vault, chain: Chain, family: Family) -> CardFacts:
    named = chain.fetch.outputs.get("licence")
    files = chain.variant.files
    return CardFacts(
        files=files,
        source_digest=chain.checkpoint.sha256,
        repository=chain.fetch.inputs.get("repo"),
        commit=chain.fetch.inputs.get("commit"),
        licence=decode(Licence, vault.read(named)).identifier if named else None,
        licence_files=tuple(file.name for file in files if file.name.startswith(LICENCE_FILES)),
        model_class=family.model_class,
    )


def _report_data(
    vault: Vault,
    spec: RecompressSpec,
    name: str,
    results: RunResults,
    values: RunValues,
    chain: Chain,
) -> ReportData:
    checkpoint = open_checkpoint(vault.folder(results.checkpoint), values.plan.stack)
    return ReportData(
        source=source_name(spec.source),
        name=name,
        spec=without_paths(spec),
        num_blocks=checkpoint.num_blocks,
        similarity=values.similarity,
        clustering=values.clustering,
        plan=values.plan,
        mended=_mended(vault, chain),
        stability=values.stability,
        patch=values.patch,
        mixtures=values.mixtures,
        frontier=values.frontier,
        expert_loads=_expert_loads(vault, chain),
        evidence=values.evidence,
        verdict=values.verdict,
        dense_bytes=checkpoint.weight_bytes,
        variant_bytes=open_checkpoint(vault.folder(results.candidate.variant)).weight_bytes,
        objects=tuple(
            StoredObject(role=role, key=reference.key, sha256=reference.sha256, bytes=reference.bytes)
            for role, reference in {**results.by_role(), **chain.expert_loads}.items()
        ),
        stages=tuple(StageLine(stage=done.stage, key=done.key) for done in chain.stages),
    )


def _mended(vault: Vault, chain: Chain) -> bool:
    trials = chain.plan.outputs.get("trials")
    return decode(TriedPlans, vault.read(trials)).mended if trials else False


def _expert_loads(vault: Vault, chain: Chain) -> tuple[ExpertLoad, ExpertLoad] | None:
    if len(chain.expert_loads) < len(_MODELS):  # no block with experts is left
        return None
    dense, pruned = (decode(ExpertLoad, vault.read(chain.expert_loads[f"{role}_expert_load"])) for role in _MODELS)
    return dense, pruned
