"""Everything that lies in a store -> whether each object is what its name says, reached by a ledger or not."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from lorp.digest import FileDigest, digest_listing, digest_value
from tasks.audit.findings import Fault, Step, judged
from tasks.audit.ledgers import AuditedLedger
from tasks.audit.objects import Objects
from tasks.audit.targets import made_changes
from tasks.records import outputs
from tasks.vault import Manifest

#: Objects whose name is their sha256, whatever follows it; folders whose name is the digest over their files.
_OBJECTS = ("values", "captures", "corpora")
_FOLDERS = ("checkpoints", "variants", "patches")
#: A folder that no manifest names: whether it was cut off or changed, only its name could tell.
UNFINISHED = (
    "its files are not those that its name is the digest of; no result rests on it: a run that was killed may have "
    "left it, which the same command finishes, and lorp gc removes it once it is old"
)
_OBJECT = re.compile(r"(?:values|corpora|captures/[^/]+)/(?P<sha256>[0-9a-f]{64})\.\w+")
_FILE = re.compile(
    r"(?P<folder>(?:checkpoints|variants|patches)/(?P<digest>[0-9a-f]{64}))/(?P<name>[A-Za-z0-9_][A-Za-z0-9._-]*)"
)
_MANIFEST = re.compile(r"stages/(?P<key>[A-Za-z0-9][^/]*-[0-9a-f]{64})\.json")


def store_step(objects: Objects) -> Step:
    """Everything that manifests name, and every object that is named by a digest, whether or not one names it."""
    stands = [objects.manifest(key) for key in _stages(objects)]
    faults = [found for found in stands if isinstance(found, Fault)]
    faults += [fault for found in stands if isinstance(found, Manifest) and (fault := _misnamed(found))]
    made = dict.fromkeys(outputs(found for found in stands if isinstance(found, Manifest)))
    faults += objects.check((one.key, one.sha256) for one in made if not one.files)
    faults += [fault for one in made if one.files for fault in objects.check_folder(one)]
    keys = [key for kind in _OBJECTS for key in objects.listed(kind)]
    faults += objects.check((key, match["sha256"]) for key in keys if (match := _OBJECT.fullmatch(key)))
    known = {one.key for one in made}
    faults += [
        Fault(object=folder, reason=UNFINISHED)
        for folder, digest, files in _folders(objects)
        if folder not in known and not _is_whole(objects, folder, digest, files)
    ]
    return judged("store", "every object", faults, f"{len(objects.digests)} objects are what their names say")


def unentered_step(objects: Objects, ledgers: Mapping[str, AuditedLedger]) -> Step:
    """Whether every run that was registered is in its ledger."""
    faults = list(_unentered(objects, ledgers))
    return judged("store", "every run", faults, "every run that was registered is in its ledger")


def _misnamed(manifest: Manifest) -> Fault | None:
    fine = manifest.key.rpartition("-")[2] == digest_value(manifest.inputs)
    where = f"stages/{manifest.key}.json"
    return None if fine else Fault(object=where, reason="its name is not the digest of its inputs")


def _unentered(objects: Objects, ledgers: Mapping[str, AuditedLedger]) -> Iterator[Fault]:
    registered = [manifest for key in _stages(objects) if (manifest := _registration(objects, key))]
    lineages = {manifest.outputs["lineage"].sha256 for manifest in registered}
    for manifest in registered:
        name, version = str(manifest.inputs.get("name")), manifest.inputs.get("model_version")
        changes = made_changes(ledgers[name]) if name in ledgers else ()
        if manifest.outputs["lineage"].sha256 in {change.lineage for change in changes}:
            continue
        # Of two registries one version of a number is entered, if its own registration is there.
        taken = {change.lineage for change in changes if change.version == version}
        if version is None or not taken & lineages:
            what = f"version {version}" if version else "a rejected variant"
            end = max(ledgers[name].stored, default=0) + 1 if name in ledgers else 1
            reason = f"the ledger lacks {what}, which was registered (stages/{manifest.key}.json)"
            yield Fault(object=f"ledger/{name}/{end:08d}.json", reason=reason)


def _registration(objects: Objects, key: str) -> Manifest | None:
    found = objects.manifest(key) if key.startswith("register-") else None
    return found if isinstance(found, Manifest) and "lineage" in found.outputs else None


def _stages(objects: Objects) -> list[str]:
    return [match["key"] for key in objects.listed("stages") if (match := _MANIFEST.fullmatch(key))]


def _folders(objects: Objects) -> Iterator[tuple[str, str, list[str]]]:
    """Key, digest and files of each."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind in _FOLDERS:
        for key in objects.listed(kind):
            match = _FILE.fullmatch(key)
            if match:
                found.setdefault((match["folder"], match["digest"]), []).append(key)
    yield from ((folder, digest, keys) for (folder, digest), keys in found.items())


def _is_whole(objects: Objects, folder: str, digest: str, keys: list[str]) -> bool:
    objects.check((key, "") for key in keys)
    files = [
        FileDigest(
            name=PurePosixPath(key).name,
            sha256=str(objects.digests[key]),
            bytes=objects.listed(folder.partition("/")[0])[key].bytes,
        )
        for key in keys
    ]
    return digest_listing(files) == digest
