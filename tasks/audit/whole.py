"""Everything that lies in a store -> whether each object is what its name says, reached by a ledger or not."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from lorp.digest import FileDigest, digest_listing
from tasks.audit.findings import Fault, Step, judged
from tasks.audit.ledgers import AuditedLedger
from tasks.audit.objects import Objects
from tasks.audit.targets import made_changes
from tasks.ledger import entry_key
from tasks.records import outputs
from tasks.vault import Manifest

#: Objects whose name is their sha256, whatever follows it; folders whose name is the digest over their files.
_OBJECTS = ("values", "captures", "corpora")
_FOLDERS = ("checkpoints", "variants", "patches")
_OBJECT = re.compile(r"(?:values|corpora|captures/[^/]+)/(?P<sha256>[0-9a-f]{64})\.\w+")
_FILE = re.compile(r"(?P<folder>(?:checkpoints|variants|patches)/(?P<digest>[0-9a-f]{64}))/(?P<name>[^/]+)")
_MANIFEST = re.compile(r"stages/(?P<key>[^/]+-[0-9a-f]{64})\.json")


def store_step(objects: Objects) -> Step:
    """Everything that manifests name, and every object that is named by a digest, whether or not one names it."""
    stands = [objects.manifest(key) for key in _stages(objects)]
    faults = [found for found in stands if isinstance(found, Fault)]
    made = dict.fromkeys(outputs(found for found in stands if isinstance(found, Manifest)))
    faults += objects.check((one.key, one.sha256) for one in made if not one.files)
    faults += [fault for one in made if one.files for fault in objects.check_folder(one)]
    keys = [key for kind in _OBJECTS for key in objects.listed(kind)]
    faults += objects.check((key, match["sha256"]) for key in keys if (match := _OBJECT.fullmatch(key)))
    known = {one.key for one in made}
    faults += [
        fault
        for folder, digest, files in _folders(objects)
        if folder not in known and (fault := _folder_fault(objects, folder, digest, files))
    ]
    return judged("store", "every object", faults, f"{len(objects.digests)} objects are what their names say")


def unentered_step(objects: Objects, ledgers: Mapping[str, AuditedLedger]) -> Step:
    """Whether every run that was registered is in its ledger."""
    faults = list(_unentered(objects, ledgers))
    return judged("store", "every run", faults, "every run that was registered is in its ledger")


def _unentered(objects: Objects, ledgers: Mapping[str, AuditedLedger]) -> Iterator[Fault]:
    for key in _stages(objects):
        manifest = objects.manifest(key) if key.startswith("register-") else None
        if manifest is None or isinstance(manifest, Fault) or "lineage" not in manifest.outputs:
            continue
        name, version = manifest.inputs["name"], manifest.inputs["model_version"]
        entered = made_changes(ledgers[name]) if name in ledgers else ()
        known = {change.lineage for change in entered}
        if manifest.outputs["lineage"].sha256 not in known and version not in {change.version for change in entered}:
            what = f"version {version}" if version else "a rejected variant"
            end = max(ledgers[name].stored, default=0) + 1 if name in ledgers else 1
            yield Fault(
                object=entry_key(name, end),
                reason=f"the ledger lacks {what}, which was registered (stages/{key}.json)",
            )


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


def _folder_fault(objects: Objects, folder: str, digest: str, keys: list[str]) -> Fault | None:
    objects.check((key, "") for key in keys)
    files = [
        FileDigest(
            name=PurePosixPath(key).name,
            sha256=str(objects.digests[key]),
            bytes=objects.listed(folder.partition("/")[0])[key].bytes,
        )
        for key in keys
    ]
    fine = digest_listing(files) == digest
    return None if fine else Fault(object=folder, reason="its files are not those that its name is the digest of")
