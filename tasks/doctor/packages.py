"""Python and packages -> whether they are those that lorp's own metadata asks for."""

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tasks.doctor.check import Finding, fault, ok, warning

_NAME = "packages"


def look_at_packages() -> Iterator[Finding]:
    """Holds what is installed against what the installed lorp requires."""
    try:
        lorp = metadata.distribution("lorp")
    except metadata.PackageNotFoundError:
        yield warning(_NAME, "lorp is not installed here, so what it needs is not known", "pip install .")
        return
    required = lorp.requires or []
    yield from _python(lorp.metadata["Requires-Python"], platform.python_version())
    unmet = list(unmet_requirements(required))
    yield from unmet
    if not unmet:
        yield ok(_NAME, f"lorp {lorp.version} with all {len(_needed(required))} packages in the versions it asks for")


def _python(wanted: str, found: str) -> Iterator[Finding]:
    if SpecifierSet(wanted).contains(found, prereleases=True):
        yield ok("python", f"Python {found}")
    else:
        yield fault("python", f"Python {found} is not {wanted}", f"Make an environment with Python {wanted}")


def unmet_requirements(requirements: Iterable[str]) -> Iterator[Finding]:
    """A fault for each package that is missing or of another version; extras are left out."""
    for requirement in _needed(requirements):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield fault(_NAME, f"{requirement.name} is not installed", f'pip install "{requirement}"')
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            what = f"{requirement.name} {version} does not work with lorp, which asks for {requirement.specifier}"
            yield fault(_NAME, what, f'pip install "{requirement}"')


def _needed(requirements: Iterable[str]) -> list[Requirement]:
    parsed = map(Requirement, requirements)
    return [each for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})]
