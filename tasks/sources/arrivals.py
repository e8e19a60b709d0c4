"""A watched source -> the checkpoints that are there now, each with what tells whether it has changed since."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorp.checkpoint import INDEX
from lorp.config_file import CONFIG, read_json
from lorp.digest import digest_value
from lorp.errors import LorpError, SourceError
from lorp.gguf import is_gguf
from tasks.sources.names import checkpoint_names


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A checkpoint, or what may become one.

    Attributes:
        address: Its own, a source as `lorp recompress` takes it.
        listing: Digest over the address and what is listed there: names, sizes, times or tags; or a commit, or a
            version.
        missing: What it lacks to be a checkpoint; None if nothing.
    """

    address: str
    listing: str
    missing: str | None = None


def sightings(source: str, tracking_uri: str | None = None) -> list[Sighting]:
    """The checkpoints at a source, sorted by address.

    Args:
        source: A checkpoint, or a folder or `s3://bucket/prefix` with one in each folder below; a revision on the hub;
            a registered version or alias.
        tracking_uri: MLflow's, for the last; the workspace's unless given.

    Raises:
        SourceError: There is no such source.
        RegistryError: MLflow cannot be used.
        OutageError: It does not answer.
    """
    if source.startswith("hf://"):
        return [_on_the_hub(source)]
    if source.startswith("mlflow:"):
        return [_registered(source, tracking_uri)]
    return _in_a_bucket(source.rstrip("/")) if source.startswith("s3://") else _in_a_folder(source)


def _on_the_hub(source: str) -> Sighting:
    """By commit: whoever fetches it gets what was seen, even if the branch has moved on."""
    from tasks.sources.hub import HubAddress, resolve_commit

    asked = HubAddress.parse(source)
    address = str(HubAddress(repo=asked.repo, revision=resolve_commit(asked)))
    return Sighting(address=address, listing=digest_value([address]))


def _registered(source: str, tracking_uri: str | None) -> Sighting:
    """By version, whatever the alias stands for by then."""
    from tasks.sources.registered import find_version
    from tasks.workspace import workspace

    found = find_version(source, tracking_uri or workspace().tracking_uri)
    address = f"mlflow:models:/{found.name}/{found.version}"
    return Sighting(address=address, listing=digest_value([address, found.address, found.sha256]))


def _in_a_folder(source: str) -> list[Sighting]:
    root = Path(source).expanduser().absolute()
    if not root.exists():
        raise SourceError(f"there is no {source}", "Give a folder that is there, or make it")
    if root.is_file() or (root / CONFIG).exists():
        return [_folder(root)]
    try:
        return [_folder(path) for path in sorted(root.iterdir()) if path.is_dir() or is_gguf(path)]
    except OSError as fault:
        raise SourceError(f"{source} cannot be looked at: {fault.strerror}", "Look at its permissions") from None


def _folder(path: Path) -> Sighting:
    try:
        files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
        stats = {file.name: file.stat() for file in files}
    except OSError as fault:
        return Sighting(address=str(path), listing="", missing=f"it cannot be looked at: {fault.strerror}")
    marks = {name: [found.st_size, found.st_mtime_ns] for name, found in stats.items()}
    if path.is_file():
        return Sighting(address=str(path), listing=digest_value([str(path), marks]))
    return _seen(str(path), marks, lambda: read_json(path / INDEX))


def _in_a_bucket(source: str) -> list[Sighting]:
    from tasks.sources.bucket import open_source

    found: dict[str, dict[str, Any]] = {}
    for name, state in open_source(source).states().items():
        folder, _, file = name.rpartition("/")
        found.setdefault(folder, {})[file] = [state.bytes, state.etag]
    if CONFIG in found.get("", {}):
        found = {"": found[""]}
    folders = sorted(folder for folder, marks in found.items() if folder or CONFIG in marks)
    return [_bucket_folder(f"{source}/{folder}".rstrip("/"), found[folder]) for folder in folders]


def _bucket_folder(address: str, marks: Mapping[str, Any]) -> Sighting:
    from tasks.sources.bucket import open_source, read_index

    return _seen(address, marks, lambda: read_index(address, open_source(address), marks[INDEX][0]))


def _seen(address: str, marks: Mapping[str, Any], index: Callable[[], dict[str, Any]]) -> Sighting:
    """What is there, and whether all that its index names is."""
    listing = digest_value([address, marks])
    try:
        names = checkpoint_names(address, marks, index)
        named = set(map(str, index()["weight_map"].values())) if INDEX in names else set()
    except LorpError as fault:  # what is listed may be gone by now, too
        return Sighting(address=address, listing=listing, missing=fault.reason)
    lacking = sorted(named - set(names))
    return Sighting(address=address, listing=listing, missing=f"{lacking[0]} is not there yet" if lacking else None)
