"""`hf://org/name@revision` -> the commit that it means, and a folder in the hub's cache with the checkpoint's files.

The endpoint, cache and token are those of the hub's own settings (`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN`). With
`HF_HUB_OFFLINE=1` nothing is asked, and the cache has to have it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lorp.architectures import family_of
from lorp.architectures.blocks import num_blocks_of
from lorp.checkpoint import CONFIG, INDEX, read_json
from lorp.errors import OutageError, SourceError
from tasks.sources.names import checkpoint_names

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ADDRESS = re.compile(rf"hf://(?P<repo>(?:{_NAME}/)?{_NAME})(?:@(?P<revision>{_NAME}(?:/{_NAME})*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


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
    from huggingface_hub import HfApi

    if _offline():
        return _cached(address).name
    with _hub_faults(address):
        commit = HfApi(endpoint=_endpoint()).model_info(address.repo, revision=address.revision).sha
    _file(address, CONFIG)  # so that the cache knows the revision when the hub cannot be asked
    if not _COMMIT.fullmatch(commit or ""):
        raise SourceError(f"the hub names no commit for {address}", "Give a commit as the revision")
    return str(commit)


def hub_num_blocks(source: str) -> int:
    """Number of blocks of a model on the hub, from its config alone. Raises as `resolve_commit` does."""
    asked = HubAddress.parse(source)
    address = HubAddress(repo=asked.repo, revision=resolve_commit(asked))
    config = read_json(_file(address, CONFIG))
    return num_blocks_of(family_of(config), config)


def hub_folder(address: HubAddress) -> Path:
    """A folder in the hub's cache with the checkpoint's files at a commit, and maybe others.

    Raises:
        SourceError: There is no such model or revision, or it is no checkpoint.
        UnsafeCheckpointError: Its weights are pickled, or their names lead elsewhere.
        OutageError: The hub does not answer.
    """
    from huggingface_hub import HfApi

    if _offline():
        return _cached(address)
    with _hub_faults(address):
        found = HfApi(endpoint=_endpoint()).model_info(address.repo, revision=address.revision).siblings or []
    names = [sibling.rfilename for sibling in found]
    for name in checkpoint_names(str(address), names, lambda: read_json(_file(address, INDEX))):
        _file(address, name)
    return _file(address, CONFIG).parent


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
        raise OutageError(f"the hub does not serve {address}: {_first_line(fault)}", "Run again later") from None
    except Exception as fault:  # connections fail in as many ways as there are HTTP clients
        raise OutageError(
            f"the hub cannot be reached for {address}: {_first_line(fault)}", "Look at HF_ENDPOINT and the network"
        ) from None


def _not_cached(address: HubAddress, fault: Exception) -> SourceError | OutageError:
    if _offline():
        return SourceError(f"{address} is not in the hub's cache", "Set HF_HUB_OFFLINE=0 to ask the hub for it")
    return OutageError(f"the hub cannot be reached for {address}", "Look at HF_ENDPOINT and the network")


def _first_line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), "")[:200] or type(fault).__name__
