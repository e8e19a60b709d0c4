"""`hf://org/name@revision` -> the commit that it means, and a folder in the hub's cache with the checkpoint's files.

The endpoint, cache and token are those of the hub's own settings (`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN`). With
`HF_HUB_OFFLINE=1` nothing is asked, and the cache has to have it: as a whole, if lorp wrote down what makes it up when
it fetched it from the hub; otherwise what lies there is a folder like any other.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lorp.architectures import check_stack, family_of
from lorp.architectures.blocks import num_blocks_of
from lorp.checkpoint import INDEX
from lorp.config_file import CONFIG, read_json
from lorp.digest import canonical_json, digest_value
from lorp.disk import check_room
from lorp.errors import OutageError, SourceError, StoreError, first_line
from lorp.licence import CARD, licence_of_card
from lorp.plan import Stack
from tasks.scratch import scratch_folder
from tasks.sources.names import checkpoint_names
from tasks.workspace import home

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ADDRESS = re.compile(rf"hf://(?P<repo>(?:{_NAME}/)?{_NAME})(?:@(?P<revision>{_NAME}(?:/{_NAME})*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOCAL_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@dataclass(frozen=True, kw_only=True)
class HubAddress:
    """A model on the hub: `org/name`, and a branch, tag or commit."""

    repo: str
    revision: str

    @classmethod
    def parse(cls, source: str) -> "HubAddress":
        """From `hf://org/name@revision`; the revision is `main` unless given.

        Raises:
            SourceError: Something else.
        """
        match = _ADDRESS.fullmatch(source)
        if not match:
            raise SourceError(f"{source} is no address on the hub", "Give one such as hf://org/name@revision")
        return cls(repo=match["repo"], revision=match["revision"] or "main")

    def __str__(self) -> str:
        return f"hf://{self.repo}@{self.revision}"


def is_hub(source: str) -> bool:
    """Whether a source is an address on the hub."""
    return source.startswith("hf://")


def resolve_commit(address: HubAddress) -> str:
    """The commit that a revision means now; a commit means itself, and nobody is asked.

    Raises:
        SourceError: There is no such model or revision.
        OutageError: The hub does not answer.
    """
    if _COMMIT.fullmatch(address.revision):
        return address.revision
    if _offline():
        return _cached(address).name
    with _hub_faults(address):
        commit = _asked(address).sha
    _file(address, CONFIG)  # so that the cache knows the revision when the hub cannot be asked
    if not _COMMIT.fullmatch(commit or ""):
        raise SourceError(f"the hub names no commit for {address}", "Give a commit as the revision")
    return str(commit)


def hub_num_blocks(address: HubAddress, stack: Stack | None = None) -> int:
    """Number of blocks of a model at a commit, from its config alone. Raises as `resolve_commit` does."""
    config = read_json(_file(address, CONFIG))
    family = family_of(config, stack)
    check_stack(family, stack)
    return num_blocks_of(family, config)


def copy_hub_files(address: HubAddress, to: Path) -> None:
    """Copies the checkpoint's files at a commit, and no others, through the hub's cache.

    Raises:
        SourceError: There is no such model or revision, or it is no checkpoint, or is not wholly there offline.
        UnsafeCheckpointError: Its weights are pickled, or their names lead elsewhere.
        StoreError: The cache cannot be written.
        OutageError: The hub does not answer.
    """
    if _offline() and not _listed(address):
        raise SourceError(f"{address} is not wholly in the hub's cache", "Set HF_HUB_OFFLINE=0 to ask the hub for it")
    files = {name: _file(address, name) for name in (_listed(address) if _offline() else _fetched(address))}
    check_room(to, sum(path.stat().st_size for path in files.values()))
    for name, path in files.items():
        shutil.copyfile(path, to / name)


def hub_licence(address: HubAddress) -> str | None:
    """The licence that a model's card names at a commit; None where there is no card, or none that can be had."""
    try:
        return licence_of_card(_file(address, CARD))
    except (SourceError, OutageError):
        return None


def unlisted_folder(address: HubAddress) -> Path | None:
    """Offline, the cache's folder of a commit of which nobody here can say whether it is whole.

    None if lorp wrote down what makes it up and all is there, if no weights are there, and unless offline.
    """
    if not _offline() or _listed(address):
        return None
    try:
        folder = _cached(address)
    except SourceError:
        return None
    return folder if any(folder.glob("*.safetensors")) else None


def _fetched(address: HubAddress) -> list[str]:
    """Names of the checkpoint's files, which are in the cache from now on; so is written down."""
    with _hub_faults(address):
        found = _asked(address, files_metadata=True).siblings or []
    there = {sibling.rfilename: sibling.size or 0 for sibling in found}
    names = checkpoint_names(str(address), there, lambda: read_json(_file(address, INDEX)))
    _check_room(address, {name: there[name] for name in names})
    for name in names:
        _file(address, name)
    listing = _listing(address)
    with _hub_faults(address):
        listing.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(listing.parent) as scratch:
            (scratch / "listing").write_bytes(canonical_json(names))
            (scratch / "listing").replace(listing)
    return names


def _check_room(address: HubAddress, sizes: Mapping[str, int]) -> None:
    """Makes sure that what the cache lacks fits into it."""
    from huggingface_hub import constants, try_to_load_from_cache

    here = {name: try_to_load_from_cache(address.repo, name, revision=address.revision) for name in sizes}
    check_room(
        Path(constants.HF_HUB_CACHE), sum(sizes[name] for name, path in here.items() if not isinstance(path, str))
    )


def _asked(address: HubAddress, files_metadata: bool = False) -> "ModelInfo":
    """What the hub says of a model; its client would wait for ever for a hub that accepts and says nothing."""
    from huggingface_hub import HfApi, constants

    return HfApi(endpoint=_endpoint()).model_info(
        address.repo,
        revision=address.revision,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        files_metadata=files_metadata,
    )


def _listed(address: HubAddress) -> list[str]:
    """Those names as an earlier fetch wrote them down; none unless all of them are still in the cache."""
    from huggingface_hub import try_to_load_from_cache

    try:
        names = list(map(str, json.loads(_listing(address).read_bytes())))
    except (OSError, ValueError, TypeError):
        return []
    here = (try_to_load_from_cache(address.repo, name, revision=address.revision) for name in names)
    return names if all(isinstance(path, str) for path in here) else []


def _listing(address: HubAddress) -> Path:
    return home() / "cache" / "hub" / f"{digest_value([address.repo, address.revision])}.json"


def _file(address: HubAddress, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    with _hub_faults(address):
        return Path(hf_hub_download(address.repo, name, revision=address.revision, endpoint=_endpoint()))


def _cached(address: HubAddress) -> Path:
    """The folder of a revision in the cache; its name is the commit."""
    from huggingface_hub import hf_hub_download

    with _hub_faults(address):
        config = hf_hub_download(address.repo, CONFIG, revision=address.revision, local_files_only=True)
    return Path(config).parent


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _hub_faults(address: HubAddress) -> Iterator[None]:
    """Says what the hub's client raises in one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise SourceError(f"{address} is gated", "Accept its terms on the hub, and set HF_TOKEN") from None
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError):
        raise SourceError(f"there is no such revision or file: {address}", "Look at it on the hub") from None
    except errors.RepositoryNotFoundError:
        raise SourceError(
            f"there is no {address}, or it is private", "Look at the name, and set HF_TOKEN for a private model"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as fault:
        raise _not_cached(address, fault) from None
    except errors.HfHubHTTPError as fault:
        raise OutageError(f"the hub does not serve {address}: {first_line(fault)}", "Run again later") from None
    except errors.HFValidationError as fault:
        raise SourceError(f"{address} is no address on the hub: {first_line(fault)}", "Look at the name") from None
    except Exception as fault:  # connections fail in as many ways as there are HTTP clients
        if isinstance(fault, OSError) and fault.errno in _LOCAL_FAULTS:
            raise StoreError(
                f"what the hub has of {address} cannot be kept: {fault.strerror}",
                "Make room, or set HF_HOME to another folder",
            ) from None
        raise OutageError(
            f"the hub cannot be reached for {address}: {first_line(fault)}", "Look at HF_ENDPOINT and the network"
        ) from None


def _not_cached(address: HubAddress, fault: Exception) -> SourceError | OutageError:
    if _offline():
        return SourceError(f"{address} is not in the hub's cache", "Set HF_HUB_OFFLINE=0 to ask the hub for it")
    return OutageError(f"the hub cannot be reached for {address}", "Look at HF_ENDPOINT and the network")
