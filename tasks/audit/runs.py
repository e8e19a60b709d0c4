"""The record of a run -> whether every byte that it names is what it was, and one thing follows from another."""

from collections.abc import Iterator, Sequence
from functools import partial

from lorp.capture_check import capture_fault
from lorp.corpus import Windows
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
from tasks.audit.findings import Fault, Step, held, judged, not_done
from tasks.audit.objects import Objects
from tasks.audit.rederive import DryVault, rederivable, rederived
from tasks.capture import TOKENIZER_FILES
from tasks.keeping import WEIGHTS
from tasks.provenance import PAGES
from tasks.records import RunRecord, outputs, verdict_contradiction
from tasks.vault import Manifest, Reference

#: Inputs of stages that are the digest of what another stage of the run made.
_LINKS = ("checkpoint", "windows", "plan", "similarity", "clustering", "weights", "questions", "variant", "dense")
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
    captures = _captures(run, objects)  # first, since what it reads is too large to keep
    yield _objects(run, objects)
    yield _manifests(run, objects)
    yield judged(run.title, "links", list(_unlinked(run)), f"{len(run.manifests)} stages take what others made")
    yield captures
    for manifest in run.manifests:
        if rederivable(manifest):
            yield _derived(run, manifest, objects)
    yield _agreement(run, objects)


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
    pages = [_page(page) for page in run.record.byproducts if page.name in PAGES]
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


def _unlinked(run: RunRecord) -> Iterator[Fault]:
    """Stages that took something which no stage of the run has made, or another's tokenizer."""
    made = {reference.sha256 for reference in outputs(run.manifests)}
    fetched = [each for stage in run.manifests if stage.stage == "fetch" for each in stage.outputs.values()]
    tokenizers = {
        digest_value(sorted([file.name, file.sha256] for file in files if file.name.startswith(TOKENIZER_FILES)))
        for files in (reference.files for reference in fetched)
    }
    for manifest in run.manifests:
        where = f"stages/{manifest.key}.json"
        for name in _LINKS:
            taken = manifest.inputs.get(name)
            for sha256 in taken if isinstance(taken, list) else [taken] if isinstance(taken, str) else []:
                if sha256 not in made:
                    yield Fault(object=where, reason=f"its {name} {sha256} is nothing that the run has made")
        if manifest.stage == "windows" and manifest.inputs["tokenizer"] not in tokenizers:
            yield Fault(object=where, reason="its windows were cut by another tokenizer")


def _captures(run: RunRecord, objects: Objects) -> Step:
    """Sums against sampled states, one capture after the other where several mixtures were captured."""
    captures: dict[str, list[Manifest]] = {}
    for manifest in run.manifests:
        if manifest.stage == "capture":
            captures.setdefault(manifest.inputs["windows"], []).append(manifest)
    found = [
        objects.once(tuple(shard.key for shard in shards), partial(_capture_fault, run, windows, shards, objects))
        for windows, shards in captures.items()
    ]
    return judged(run.title, "capture", [fault for fault in found if fault], "sums agree with the sampled states")


def _capture_fault(run: RunRecord, windows: str, stages: Sequence[Manifest], objects: Objects) -> Fault | None:
    asked = stages[0].inputs
    try:
        cut = decode(Windows, DryVault(objects).read(run.output(windows))).windows
        shards = (_shard(stage, objects) for stage in stages)
        found = capture_fault({window.id: window for window in cut}, shards, asked["sampled_tokens"], asked["seed"])
    except IntegrityError as fault:
        return Fault(object=f"stages/{stages[0].key}.json", reason=fault.reason)
    return Fault(object=stages[0].outputs["windows"].key, reason=found) if found else None


def _shard(stage: Manifest, objects: Objects) -> tuple[WindowSums, SampledStates]:
    vault = DryVault(objects)
    sums = decode_windows(vault.read(stage.outputs["windows"]))
    return sums, decode_states(vault.read(stage.outputs["states"]))


def _derived(run: RunRecord, manifest: Manifest, objects: Objects) -> Step:
    name = _WORDS[manifest.stage]
    fault, said = rederived(run, manifest, objects)
    if fault and manifest.stage == "cluster" and fault.startswith("derived again"):
        return held(run.title, name, "as recorded; clustering again gives other labels here")
    if fault is None and manifest.stage == "frontier":
        fault = _frontier_fault(manifest, objects)
    faults = [Fault(object=_output_key(manifest), reason=fault)] if fault else []
    return judged(run.title, name, faults, f"derived again, {said}")


def _frontier_fault(manifest: Manifest, objects: Objects) -> str | None:
    frontier = decode(Frontier, DryVault(objects).read(manifest.outputs["frontier"]))
    within = [point.count for point in frontier.points if point.inside]
    best = max(within) if within else min(point.count for point in frontier.points)
    return None if frontier.chosen == best else f"it chose {frontier.chosen} blocks, and {best} follows from its points"


def _output_key(manifest: Manifest) -> str:
    return next(iter(manifest.outputs.values())).key


def _agreement(run: RunRecord, objects: Objects) -> Step:
    """What was judged is the plan that was made, as it says itself, and under the budgets that were asked for."""
    vault, about, name = DryVault(objects), run.title, "plan, patch, variant and verdict agree"
    pruned = next(stage for stage in run.manifests if run.variant in stage.outputs.values())
    try:
        plan = decode(PruningPlan, vault.read(run.output(pruned.inputs["plan"])))
        verdict = decode(Verdict, vault.read(run.stage("gate").outputs["verdict"]))
        said = _said_by_variant(run, objects)
        patched = _patched(run, pruned, vault)
    except IntegrityError as fault:
        return not_done(about, name, fault.reason)
    agree = {
        "the record's map of kept blocks is not the plan's": run.record.kept_blocks == plan.kept,
        "the variant's config has another map of kept blocks": said in (None, plan.kept),
        "the variant's weights are not those of its patch": patched,
    }
    faults = [reason for reason, fine in agree.items() if not fine]
    contradiction = verdict_contradiction(run, verdict)
    faults += [contradiction] if contradiction else []
    return judged(about, name, [Fault(object=run.variant.key, reason=reason) for reason in faults], "they do")


def _said_by_variant(run: RunRecord, objects: Objects) -> tuple[int, ...] | None:
    """The map in the variant's config; None if the variant is no longer kept."""
    config = next(key for key, _ in run.variant.objects() if key.endswith("/config.json"))
    data = objects.raw(config) if not _collected(run, run.variant, objects) else None
    return kept_blocks_of(data) if data is not None else None


def _patched(run: RunRecord, pruned: Manifest, vault: DryVault) -> bool:
    """Whether the variant was cut with the weights of the patch that was fitted for its plan."""
    healed = next((m for m in run.manifests if m.stage == "heal" and m.inputs["plan"] == pruned.inputs["plan"]), None)
    weights = pruned.inputs.get("weights")
    if healed is None:
        return weights is None
    return decode(Patch, vault.read(healed.outputs["patch"])).weights_sha256 == weights
