"""The record of a run -> whether every byte that it names is what it was, and one thing follows from another."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from lorp.capture_check import capture_fault
from lorp.corpus import Windows
from lorp.corpus.documents import Window
from lorp.depth import resolve_count
from lorp.digest import digest_value
from lorp.errors import IntegrityError
from lorp.gate import Verdict
from lorp.healing.patch import Patch
from lorp.lineage import STORE, Descriptor
from lorp.parquet import SampledStates, WindowSums, decode_states, decode_windows
from lorp.plan import PruningPlan
from lorp.search.frontier import Frontier
from lorp.surgery import kept_blocks_of
from lorp.values import decode
from tasks import provenance
from tasks.audit.asked import asked_faults
from tasks.audit.dry_vault import DryVault
from tasks.audit.findings import Fault, Step, guarded, judged, not_done
from tasks.audit.objects import Objects
from tasks.audit.rederive import rederivable, rederived
from tasks.keeping import WEIGHTS
from tasks.records import RunRecord, outputs, verdict_contradiction
from tasks.vault import Manifest, Reference
from tasks.windows import TOKENIZER_FILES

_WORDS = {
    "score": "similarity from the capture",
    "cluster": "clusters from the similarity",
    "plan": "plan from similarity and clusters",
    "guess": "first count from the trials",
    "search": "plan from the trials",
    "mixtures": "choice of corpora from the candidates",
    "frontier": "frontier from the candidates",
    "gate": "verdict from the evaluations",
}


def audit_run(run: RunRecord, objects: Objects) -> Iterator[Step]:
    """Looks at everything that a run's record names, in the order in which it was made."""
    about, where = run.title, f"values/{run.sha256}.json"
    # First, since what these read is too large to keep.
    captures = guarded(about, "capture", where, partial(_captures, run, objects))
    yield guarded(about, "objects", where, partial(_objects, run, objects))
    yield guarded(about, "stages", where, partial(_manifests, run, objects))
    yield guarded(about, "provenance", where, partial(_provenance, run))
    yield captures
    for manifest in run.manifests:
        if rederivable(manifest):
            name = _WORDS[manifest.stage]
            yield guarded(about, name, _output_key(manifest), partial(_derived, run, manifest, objects))
    yield guarded(about, "evaluations", where, partial(_evaluations, run, objects))
    yield guarded(about, "plan, patch, variant and verdict agree", where, partial(_agreement, run, objects))


def _objects(run: RunRecord, objects: Objects) -> Step:
    """All bytes; small values are read whole, since they are looked into later."""
    made = list(dict.fromkeys(outputs(run.manifests)))
    folders = [reference for reference in made if reference.files]
    single = [reference for reference in made if not reference.files]
    gone = [folder for folder in folders if _collected(run, folder, objects)]
    _said_by_variant(run, objects)  # before its digest is taken, so that it is read once
    faults = [fault for folder in folders if folder not in gone for fault in objects.check_folder(folder)]
    for reference in single:
        if reference.key.startswith("values/"):
            objects.read(reference.key, reference.sha256)
    pages = [_page(page) for page in run.record.byproducts if page.name in provenance.PAGES]
    faults += objects.check([*((reference.key, reference.sha256) for reference in single), *pages])
    count = sum(len(reference.objects()) for reference in made if reference not in gone) + len(pages)
    said = f"{count} objects are what their digests say"
    if gone:
        said += "; weights of what was rejected are no longer kept"
    return judged(run.title, "objects", faults, said)


def _page(page: Descriptor) -> tuple[str, str]:
    """Key and sha256 of something that no stage has made, but the registration."""
    return str(page.uri).removeprefix(STORE), page.digest["sha256"]


def _collected(run: RunRecord, folder: Reference, objects: Objects) -> bool:
    """Whether these are weights that need not be there: a rejected run's, gone with the manifests that name them."""
    if run.record.approved or folder.key.partition("/")[0] not in WEIGHTS or objects.listed(folder.key):
        return False
    makers = {f"stages/{stage.key}.json" for stage in run.manifests if folder in stage.outputs.values()}
    return not makers & objects.listed("stages").keys()


def _manifests(run: RunRecord, objects: Objects) -> Step:
    faults = [fault for manifest in run.manifests if (fault := _manifest_fault(run, manifest, objects))]
    return judged(run.title, "stages", faults, f"{len(run.manifests)} manifests stand as the record has them")


def _manifest_fault(run: RunRecord, manifest: Manifest, objects: Objects) -> Fault | None:
    if any(_collected(run, made, objects) for made in manifest.outputs.values() if made.files):
        return None
    stands = objects.manifest(manifest.key)
    if isinstance(stands, Fault):
        return stands
    if (stands.stage, stands.inputs, stands.outputs) == (manifest.stage, manifest.inputs, manifest.outputs):
        return None
    return Fault(object=f"stages/{manifest.key}.json", reason="it is not the one in the record")


def _provenance(run: RunRecord) -> Step:
    """What the record says that it took and made, and what was asked, against the stages that did it."""
    record, chain = run.record, run.chain
    expected = (*provenance.taken(chain, run.spec, record.source), *provenance.made(chain))
    said = [each for each in (*record.dependencies, *record.byproducts) if each.name not in _BESIDE]
    agree = {
        "what it names as taken and made is not what its stages took and made": said == list(expected),
        "its seeds are not those of its spec": record.seeds == provenance.seeds(record.spec),
        "its dtype is not that of its spec": record.dtype == run.spec.compute.dtype,
        "its devices are not those of its stages": record.devices == provenance.devices(chain.stages),
        "its packages are not those of its builder": _packages(run) == provenance.packages_digest(record.packages),
        "its windows were cut by another tokenizer": _cut_by_its_tokenizer(run),
    }
    faults = [*(reason for reason, fine in agree.items() if not fine), *asked_faults(chain, run.spec)]
    where = f"values/{run.sha256}.json"
    said_of = f"{len(expected)} things taken and made, and {len(run.manifests)} stages, are as they were asked for"
    return judged(run.title, "provenance", [Fault(object=where, reason=reason) for reason in faults], said_of)


#: What a record names that no stage has taken or made.
_BESIDE = ("lorp", "packages", *provenance.PAGES)


def _packages(run: RunRecord) -> str | None:
    return next((each.digest.get("sha256") for each in run.record.dependencies if each.name == "packages"), None)


def _cut_by_its_tokenizer(run: RunRecord) -> bool:
    files = [file for file in run.chain.checkpoint.files if file.name.startswith(TOKENIZER_FILES)]
    tokenizer = digest_value(sorted([file.name, file.sha256] for file in files))
    return all(stage.inputs.get("tokenizer") == tokenizer for stage in run.chain.of("windows"))


def _captures(run: RunRecord, objects: Objects) -> Step:
    """Sums against sampled states, one capture after the other where several mixtures were captured."""
    found = [
        objects.once(tuple(shard.key for shard in shards), partial(_capture_fault, run, windows, shards, objects))
        for windows, shards in run.chain.captures.items()
    ]
    return judged(run.title, "capture", [fault for fault in found if fault], "sums agree with the sampled states")


def _capture_fault(run: RunRecord, windows: str, stages: Sequence[Manifest], objects: Objects) -> Fault | None:
    try:
        found = _capture_reason(run, windows, stages, objects)
    except IntegrityError as fault:
        return Fault(object=f"stages/{stages[0].key}.json", reason=fault.reason)
    return Fault(object=stages[0].outputs["windows"].key, reason=found) if found else None


def _capture_reason(run: RunRecord, windows: str, stages: Sequence[Manifest], objects: Objects) -> str | None:
    asked = stages[0].inputs
    cut: dict[str, Window] = {
        window.id: window for window in decode(Windows, DryVault(objects).read(run.output(windows))).windows
    }
    shards = (_shard(stage, objects) for stage in stages)
    return capture_fault(cut, shards, int(asked["sampled_tokens"]), int(asked["seed"]), asked.get("stack"))


def _shard(stage: Manifest, objects: Objects) -> tuple[WindowSums, SampledStates]:
    vault = DryVault(objects)
    sums = decode_windows(vault.read(stage.outputs["windows"]))
    return sums, decode_states(vault.read_once(stage.outputs["states"]))


def _derived(run: RunRecord, manifest: Manifest, objects: Objects) -> Step:
    name = _WORDS[manifest.stage]
    fault, said = rederived(run, manifest, objects)
    if fault and manifest.stage == "cluster" and fault.startswith("derived again"):
        return not_done(run.title, name, "taken as recorded: clustering again gives others here, as ties may")
    if fault is None and manifest.stage == "frontier":
        fault = _frontier_fault(manifest, objects)
    faults = [Fault(object=_output_key(manifest), reason=fault)] if fault else []
    return judged(run.title, name, faults, f"derived again, {said}")


def _frontier_fault(manifest: Manifest, objects: Objects) -> str | None:
    frontier = decode(Frontier, DryVault(objects).read(manifest.outputs["frontier"]))
    counts = [point.count for point in frontier.points if point.inside] or [-point.count for point in frontier.points]
    best = abs(max(counts, default=0))
    return None if frontier.chosen == best else f"it chose {frontier.chosen} blocks, and {best} follows from its points"


def _output_key(manifest: Manifest) -> str:
    return next(iter(manifest.outputs.values())).key


def _evaluations(run: RunRecord, objects: Objects) -> Step:
    """Every evaluation says itself what it was of: the model and the text that its stage was given, and all of it."""
    vault, faults = DryVault(objects), []
    windows, prompts = run.spec.evaluation.num_windows, run.spec.generation.num_prompts
    expected = {"evaluate": windows, "generate": min(prompts, windows)}
    for stage in run.chain.evaluations.values():
        reference = next(iter(stage.outputs.values()))
        value = json.loads(vault.read(reference))
        said = {name: value.get(name) for name in _said_by(stage)}
        if said != _said_by(stage) or value.get("num_expected") != expected.get(stage.stage, value.get("num_expected")):
            faults.append(Fault(object=reference.key, reason="it is of another model or text, or less, than its stage"))
    for role, reference in run.chain.expert_loads.items():
        load, asked = json.loads(vault.read(reference)), run.chain.evaluations[role.partition("_")[0]].inputs
        if [load["checkpoint"], load["windows_sha256"]] != [asked["checkpoint"], asked["windows"]]:
            faults.append(Fault(object=reference.key, reason="it is of another model or text than its stage"))
    return judged(run.title, "evaluations", faults, f"{len(run.chain.evaluations)} are of this source and variant")


def _said_by(stage: Manifest) -> dict[str, Any]:
    asked = stage.inputs
    if stage.stage == "speed":
        return {"dense": asked["dense"], "pruned": asked["variant"]}
    text = "questions" if stage.stage == "answers" else "windows"
    return {"checkpoint": asked["checkpoint"], f"{'tasks' if text == 'questions' else text}_sha256": asked[text]}


def _agreement(run: RunRecord, objects: Objects) -> Step:
    """What was judged is the plan that was made, as it says itself, and under the budgets that were asked for."""
    vault, about, name = DryVault(objects), run.title, "plan, patch, variant and verdict agree"
    plan = decode(PruningPlan, vault.read(run.chain.plan.outputs["plan"]))
    verdict = decode(Verdict, vault.read(run.chain.gate.outputs["verdict"]))
    said = _said_by_variant(run, objects)
    gone = _collected(run, run.variant, objects)
    remove = run.spec.pruning.remove
    count = len(plan.removed) if remove == "auto" else resolve_count(remove, plan.num_blocks)
    agree = {
        "its plan removes another number of blocks than was asked for": (
            len(plan.removed) == count == run.chain.plan.inputs["count"]
        ),
        "its plan is of another stack than was asked for": plan.stack == run.spec.pruning.stack,
        "the record's map of kept blocks is not the plan's": run.record.kept_blocks == plan.kept,
        "the variant's config has another map of kept blocks": gone or said == (plan.kept, plan.stack),
        "the variant's weights are not those of its patch": _patched(run, vault),
    }
    faults = [reason for reason, fine in agree.items() if not fine]
    contradiction = verdict_contradiction(run, verdict)
    faults += [contradiction] if contradiction else []
    return judged(about, name, [Fault(object=run.variant.key, reason=reason) for reason in faults], "they do")


def _said_by_variant(run: RunRecord, objects: Objects) -> tuple[tuple[int, ...], str | None] | None:
    """The map in the variant's config, and of which stack it is; None if there is none."""
    config = next((key for key, _ in run.variant.objects() if key.endswith("/config.json")), None)
    data = objects.raw(config) if config and config in objects.listed(run.variant.key) else None
    return kept_blocks_of(data) if data is not None else None


def _patched(run: RunRecord, vault: DryVault) -> bool:
    """Whether the variant was cut with the weights of the patch that was fitted for its plan."""
    weights = run.chain.prune.inputs.get("weights")
    if run.chain.heal is None:
        return weights is None
    fitted = run.chain.heal.outputs.get("weights")
    said = decode(Patch, vault.read(run.chain.heal.outputs["patch"])).weights_sha256
    return bool(said == weights == (fitted.sha256 if fitted else None))
