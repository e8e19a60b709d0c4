"""Stage manifests and results of a run -> what it rests on and what it made, as in-toto descriptors."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lorp.digest import digest_bytes
from lorp.lineage import FILES_DIGEST, STORE, Descriptor
from lorp.spec import RecompressSpec
from tasks.capture import TOKENIZER_FILES, WindowsUse, of_evaluation
from tasks.report import Pages
from tasks.results import RunResults
from tasks.vault import Manifest, Reference
from tasks.versions import code_version

#: What people read of a run, as its record calls it.
PAGES = ("report", "card")

_NOT_IN_PURL = re.compile(r"[-_.]+")


def subjects(variant: Reference) -> tuple[Descriptor, ...]:
    """A variant's files."""
    return tuple(_file_descriptors(variant, ""))


def dependencies(
    results: RunResults, spec: RecompressSpec, source: str, stages: Sequence[Manifest], packages: Sequence[Descriptor]
) -> tuple[Descriptor, ...]:
    """Everything that a run took from elsewhere.

    Args:
        results: What it made.
        spec: What was asked, without paths.
        source: The source's name.
        stages: Its stages' manifests.
        packages: What was installed.
    """
    return (
        _source(results.checkpoint, source, stages),
        *_file_descriptors(results.checkpoint, "source/", _tokenizer_role),
        *_datasets(stages),
        *_texts(results.windows, spec, stages),
        *_questions(results.questions, stages),
        Descriptor(name="lorp", **code_version()),
        Descriptor(name="packages", digest={"sha256": _packages_digest(packages)}),
    )


def byproducts(results: RunResults, stages: Sequence[Manifest], pages: Pages) -> tuple[Descriptor, ...]:
    """Everything that was made on the way, each thing once: what the run came to under its role, the rest by stage."""
    roles = {reference.key: role for role, reference in results.by_role().items()}
    elsewhere = (results.checkpoint.key, results.candidate.variant.key)
    made: dict[str, Descriptor] = {}
    for manifest in stages:
        for role, reference in manifest.outputs.items():
            if reference.key in elsewhere:
                continue
            name = roles.get(reference.key, f"{manifest.stage}/{role}")
            for descriptor in _stored(reference, name, {"stage": manifest.key}):
                made.setdefault(str(descriptor.uri), descriptor)
    of_pages = zip(PAGES, (pages.report, pages.card), strict=True)
    return (*made.values(), *(page for name, each in of_pages for page in _stored(each, name, {})))


def packages(installed: Mapping[str, str]) -> tuple[Descriptor, ...]:
    """Installed packages, by package URL."""
    return tuple(
        Descriptor(name=name, uri=f"pkg:pypi/{_NOT_IN_PURL.sub('-', name).lower()}@{version}")
        for name, version in installed.items()
    )


def seeds(spec: Any, where: str = "") -> dict[str, int]:
    """Every field named `seed` of a spec in JSON, by the part that it is of."""
    found: dict[str, int] = {}
    for name, value in spec.items() if isinstance(spec, dict) else ():
        if name == "seed":
            found[where] = value
        found |= seeds(value, f"{where}.{name}".lstrip("."))
    return found


def devices(stages: Iterable[Manifest]) -> list[str]:
    """Kinds of device that stages ran on."""
    return sorted({str(stage.inputs["device"]) for stage in stages if "device" in stage.inputs})


def _packages_digest(found: Sequence[Descriptor]) -> str:
    """sha256 over their package URLs, a line each."""
    return digest_bytes("".join(f"{package.uri}\n" for package in found).encode())


def _source(checkpoint: Reference, name: str, stages: Sequence[Manifest]) -> Descriptor:
    fetched = next(stage for stage in stages if stage.stage == "fetch" and checkpoint in stage.outputs.values())
    asked = fetched.inputs
    digest = {FILES_DIGEST: checkpoint.sha256}
    uri = f"{STORE}{checkpoint.key}"
    if asked["kind"] == "hub":
        uri, digest["gitCommit"] = f"pkg:huggingface/{asked['repo']}@{asked['commit']}", asked["commit"]
    if asked["kind"] == "gguf":
        digest["sha256"] = asked["sha256"]
    return Descriptor(name="source", uri=uri, digest=digest, annotations={"name": name, **asked})


def _datasets(stages: Iterable[Manifest]) -> Iterator[Descriptor]:
    """Datasets on the hub, each at its commit, and the rows of it that are stored."""
    for stage in stages:
        if stage.stage == "corpus":
            asked, rows = stage.inputs, stage.outputs["rows"]
            yield Descriptor(
                name=f"dataset/{asked['dataset']}",
                uri=f"hf://datasets/{asked['dataset']}@{asked['commit']}",
                digest={"sha256": rows.sha256, "gitCommit": asked["commit"]},
                annotations={**asked, "store": rows.key},
            )


def _texts(
    windows: Mapping[WindowsUse, Reference], spec: RecompressSpec, stages: Iterable[Manifest]
) -> Iterator[Descriptor]:
    """Documents that windows were cut from: a use each, by the digest over them."""
    cut = {stage.outputs["windows"].key: stage for stage in stages if stage.stage == "windows"}
    for use, reference in windows.items():
        text = spec.evaluation if of_evaluation(use) else spec.calibration
        yield Descriptor(
            name=f"text/{use}",
            digest={"documentsSha256": cut[reference.key].inputs["corpus"]},
            annotations={"corpora": list(text.corpora)},
        )


def _questions(questions: Reference | None, stages: Iterable[Manifest]) -> Iterator[Descriptor]:
    asked = next((stage for stage in stages if questions and questions in stage.outputs.values()), None)
    if questions and asked:
        yield Descriptor(
            name="tasks",
            uri=f"{STORE}{questions.key}",
            digest={"sha256": questions.sha256},
            annotations={"tasks": asked.inputs["tasks"]},
        )


def _tokenizer_role(name: str) -> dict[str, Any]:
    return {"role": "tokenizer"} if name.startswith(TOKENIZER_FILES) else {}


def _stored(reference: Reference, name: str, annotations: Mapping[str, Any]) -> Iterator[Descriptor]:
    if reference.files:
        yield from _file_descriptors(reference, f"{name}/", lambda _: annotations)
    else:
        yield Descriptor(
            name=name,
            uri=f"{STORE}{reference.key}",
            digest={"sha256": reference.sha256},
            annotations={"bytes": reference.bytes, **annotations},
        )


def _file_descriptors(reference: Reference, prefix: str, more: Any = lambda _: {}) -> Iterator[Descriptor]:
    for file in reference.files:
        yield Descriptor(
            name=f"{prefix}{file.name}",
            uri=f"{STORE}{reference.key}/{file.name}",
            digest={"sha256": file.sha256},
            annotations={"bytes": file.bytes, **more(file.name)},
        )
