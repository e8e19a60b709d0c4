"""What things are called where people and records see them: without the folders of one machine."""

import re
from collections.abc import Sequence
from pathlib import Path

from lorp.spec import RecompressSpec

_SOURCE_ADDRESS = re.compile(
    r"hf://(?:[^/@]+/)?(?P<hub>[^/@]+)(?:@.*)?|s3://(?:[^/]+/)+(?P<bucket>[^/]+)/?"
    r"|mlflow:models:/(?P<registered>[^/@]+)[/@].*"
)


def source_name(source: str) -> str:
    """The last part of a source's path, also where that is given as `.`; of an address, the model's name in it."""
    match = _SOURCE_ADDRESS.fullmatch(source)
    return match[match.lastgroup or 0] if match else Path(source).expanduser().absolute().name


def without_paths(spec: RecompressSpec) -> RecompressSpec:
    """The same spec with the last part of every path only: what is shown and recorded names no machine's folders."""
    return spec.model_copy(
        update={
            "source": source_name(spec.source),
            "calibration": spec.calibration.model_copy(update={"corpora": _names(spec.calibration.corpora)}),
            "evaluation": spec.evaluation.model_copy(update={"corpora": _names(spec.evaluation.corpora)}),
            "tasks": spec.tasks.model_copy(update={"tasks": _names(spec.tasks.tasks)}),
        }
    )


def _names(corpora: Sequence[str]) -> tuple[str, ...]:
    """Addresses on the hub as they are, others without their folders; those that are then alike with their numbers."""
    names = [address if "://" in address else source_name(address) for address in corpora]
    return tuple(f"{number}: {name}" if names.count(name) > 1 else name for number, name in enumerate(names, start=1))
