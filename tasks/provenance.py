"""The stages of a run -> what it rests on and what it made, as in-toto descriptors."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lorp.digest import digest_bytes
from lorp.lineage import FILES_DIGEST, STORE, Descriptor
from lorp.spec import RecompressSpec
from tasks.chain import Chain
from tasks.report import Pages
from tasks.vault import Manifest, Reference
from tasks.versions import code_version
from tasks.windows import TOKENIZER_FILES, of_evaluation

#: What people read of a run, as its record calls it.
PAGES = ("report", "card")

_NOT_IN_PURL = re.compile(r"[-_.]+")


def subjects(variant: Reference) -> tuple[Descriptor, ...]:
    """A variant's files."""
    return tuple(_file_descriptors(variant, ""))


def taken(chain: Chain, spec: RecompressSpec, source: str) -> tuple[Descriptor, ...]:
    """Everything that a run took from elsewhere, but for software.

    Args:
        chain: Its stages.
        spec: What was asked, without paths.
        source: The source's name.
    """
    return (
        _source(chain, source),
        *_file_descriptors(chain.checkpoint, "source/", _tokenizer_role),
        *_datasets(chain),
        *_texts(chain, spec),
        *_questions(chain),
    )


def software(installed: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """This code, and all packages as one."""
    packages = Descriptor(name="packages", digest={"sha256": packages_digest(installed)})
    return (Descriptor(name="lorp", **code_version()), packages)


def made(chain: Chain) -> tuple[Descriptor, ...]:
    """Everything that was made on the way, each thing once: what the run came to under its role, the rest by stage."""
    roles = {reference.key: role for role, reference in chain.roles.items()}
    found: dict[str, Descriptor] = {}
    for stage in chain.stages:
        for role, reference in stage.outputs.items():
            if reference.key not in (chain.checkpoint.key, chain.variant.key):
                name = roles.get(reference.key, f"{stage.stage}/{role}")
                for descriptor in _stored(reference, name, {"stage": stage.key}):
                    found.setdefault(str(descriptor.uri), descriptor)
    return tuple(found.values())


def pages(shown: Pages) -> tuple[Descriptor, ...]:
    """What people read of a run."""
    named = zip(PAGES, (shown.report, shown.card), strict=True)
    return tuple(page for name, each in named for page in _stored(each, name, {}))


def installed_descriptors(installed: Mapping[str, str]) -> tuple[Descriptor, ...]:
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


def devices(stages: Iterable[Manifest]) -> tuple[str, ...]:
    """Kinds of device that stages ran on."""
    return tuple(sorted({str(stage.inputs["device"]) for stage in stages if "device" in stage.inputs}))


def packages_digest(found: Sequence[Descriptor]) -> str:
    """sha256 over their package URLs, a line each."""
    return digest_bytes("".join(f"{package.uri}\n" for package in found).encode())


def _source(chain: Chain, name: str) -> Descriptor:
    asked, checkpoint = chain.fetch.inputs, chain.checkpoint
    digest, uri = {FILES_DIGEST: checkpoint.sha256}, f"{STORE}{checkpoint.key}"
    if asked["kind"] == "hub":
        uri, digest["gitCommit"] = f"pkg:huggingface/{asked['repo']}@{asked['commit']}", asked["commit"]
    if asked["kind"] == "gguf":
        digest["sha256"] = asked["sha256"]
    return Descriptor(name="source", uri=uri, digest=digest, annotations={"name": name, **asked})


def _datasets(chain: Chain) -> Iterator[Descriptor]:
    """Datasets on the hub, each at its commit, and the rows of it that are stored."""
    for stage in chain.of("corpus"):
        asked, rows = stage.inputs, stage.outputs["rows"]
        yield Descriptor(
            name=f"dataset/{asked['dataset']}",
            uri=f"hf://datasets/{asked['dataset']}@{asked['commit']}",
            digest={"sha256": rows.sha256, "gitCommit": asked["commit"]},
            annotations={**asked, "store": rows.key},
        )


def _texts(chain: Chain, spec: RecompressSpec) -> Iterator[Descriptor]:
    """Documents that windows were cut from: a use each, by the digest over them."""
    for use, stage in chain.windows.items():
        text = spec.evaluation if of_evaluation(use) else spec.calibration
        yield Descriptor(
            name=f"text/{use}",
            digest={"documentsSha256": stage.inputs["corpus"]},
            annotations={"corpora": list(text.corpora)},
        )


def _questions(chain: Chain) -> Iterator[Descriptor]:
    for stage in chain.of("questions"):
        questions = stage.outputs["questions"]
        yield Descriptor(
            name="tasks",
            uri=f"{STORE}{questions.key}",
            digest={"sha256": questions.sha256},
            annotations={"tasks": stage.inputs["tasks"]},
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
