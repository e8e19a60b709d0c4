"""Source -> checkpoint folder in the store."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from lorp.architectures import check_stack
from lorp.checkpoint import open_checkpoint
from lorp.digest import digest_file, digest_listing, list_files
from lorp.disk import check_room
from lorp.errors import SourceError, SpecError
from lorp.finite import check_finite
from lorp.gguf import dequantise, gguf_licence, gguf_num_blocks, is_gguf
from lorp.licence import CARD, licence_of_card
from lorp.plan import Stack
from lorp.spec import DType
from lorp.values import encode
from tasks.sources import local_source, registered_licence
from tasks.sources.hub import (
    HubAddress,
    copy_hub_files,
    hub_licence,
    hub_num_blocks,
    is_hub,
    resolve_commit,
    unlisted_folder,
)
from tasks.stage import Outputs, Request
from tasks.vault import Vault


@dataclass(frozen=True, kw_only=True)
class FetchFolder(Request):
    """A checkpoint folder, stored as it is."""

    STAGE: ClassVar[str] = "fetch"
    VERSION: ClassVar[int] = 1
    READS_FILES: ClassVar[bool] = True
    path: str
    sha256: str
    licence: str | None = None

    def inputs(self) -> Mapping[str, Any]:
        """The digest over the checkpoint's files, and the licence that its card names, if there is one."""
        named = {"licence": self.licence} if self.licence else {}
        return {"kind": "safetensors", "sha256": self.sha256, **named}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Copies the checkpoint's files, then checks and stores the copies."""
        _copy_checkpoint(Path(self.path), scratch)
        outputs = _store_checkpoint(vault, scratch, self.licence)
        if outputs["checkpoint"].sha256 != self.sha256:
            raise _changed(self.path)
        return outputs


@dataclass(frozen=True, kw_only=True)
class FetchGguf(Request):
    """A GGUF file, dequantised."""

    STAGE: ClassVar[str] = "fetch"
    VERSION: ClassVar[int] = 1
    READS_FILES: ClassVar[bool] = True
    path: str
    sha256: str
    dtype: DType

    def inputs(self) -> Mapping[str, Any]:
        """The file's digest and the dtype it is dequantised to."""
        return {"kind": "gguf", "sha256": self.sha256, "dtype": self.dtype}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Dequantises, checks and stores."""
        dequantise(Path(self.path), scratch, self.dtype)
        if digest_file(Path(self.path)) != self.sha256:
            raise _changed(self.path)
        return _store_checkpoint(vault, scratch, gguf_licence(Path(self.path)))


@dataclass(frozen=True, kw_only=True)
class FetchHub(Request):
    """A model on the hub at one commit; where that was fetched before, nothing is downloaded."""

    STAGE: ClassVar[str] = "fetch"
    VERSION: ClassVar[int] = 1
    READS_FILES: ClassVar[bool] = True
    repo: str
    commit: str

    def inputs(self) -> Mapping[str, Any]:
        """The model and the commit, which is a digest of all its files."""
        return {"kind": "hub", "repo": self.repo, "commit": self.commit}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Downloads into the hub's cache, then copies, checks and stores the copies."""
        address = HubAddress(repo=self.repo, revision=self.commit)
        copy_hub_files(address, scratch)
        return _store_checkpoint(vault, scratch, hub_licence(address))


@dataclass(frozen=True)
class Licence:
    """The identifier of a checkpoint's licence, as whoever published it names it."""

    identifier: str


FetchRequest: TypeAlias = FetchFolder | FetchGguf | FetchHub


def fetch_request(source: str, dtype: DType, tracking_uri: str | None = None) -> FetchRequest:
    """The stage that fetches a source; what is not on the hub is read once for its digest.

    Args:
        source: A checkpoint folder or GGUF file, `hf://org/name@revision`, `s3://bucket/prefix`, or
            `mlflow:models:/name@alias`.
        dtype: What a GGUF file is dequantised to.
        tracking_uri: MLflow's, for the last; the workspace's unless given.

    Raises:
        SourceError: No such source, or not one that lorp reads.
        IntegrityError: A registered variant is not what was registered.
        OutageError: It does not answer.
    """
    if is_hub(source):
        return _hub_request(HubAddress.parse(source))
    path = local_source(source, tracking_uri)
    if is_gguf(path):
        return FetchGguf(path=str(path), sha256=digest_file(path), dtype=dtype)
    return _folder_request(path, registered_licence(source, tracking_uri))


def source_num_blocks(
    source: str, tracking_uri: str | None = None, vault: Vault | None = None, stack: Stack | None = None
) -> int:
    """Number of blocks of a source: from its headers, or on the hub from its config. Raises as `fetch_request`.

    Args:
        source: As for `fetch_request`.
        tracking_uri: Likewise.
        vault: Where a commit that was fetched before is looked up first, so that the hub is not asked for it.
        stack: Whose blocks, where there are several; None for the stack that continues a text.
    """
    if is_hub(source):
        return _hub_num_blocks(_hub_request(HubAddress.parse(source)), vault, stack)
    path = local_source(source, tracking_uri)
    if is_gguf(path):
        if stack:
            raise SpecError("GGUF files that lorp reads hold one stack of blocks", "Leave --stack out")
        return gguf_num_blocks(path)
    return _num_blocks(path, stack)


def _hub_request(asked: HubAddress) -> FetchFolder | FetchHub:
    """By commit, unless that might stand for less than the commit holds: then by content."""
    address = HubAddress(repo=asked.repo, revision=resolve_commit(asked))
    folder = unlisted_folder(address)
    return _folder_request(folder) if folder else FetchHub(repo=address.repo, commit=address.revision)


def _folder_request(folder: Path, licence: str | None = None) -> FetchFolder:
    return FetchFolder(
        path=str(folder),
        sha256=digest_listing(list_files(folder, open_checkpoint(folder).files)),
        licence=licence or licence_of_card(folder / CARD),
    )


def _hub_num_blocks(request: FetchFolder | FetchHub, vault: Vault | None, stack: Stack | None) -> int:
    if isinstance(request, FetchFolder):
        return _num_blocks(Path(request.path), stack)
    done = vault.result(request.key) if vault else None
    if vault and done:
        return _num_blocks(vault.folder(done.outputs["checkpoint"]), stack)
    return hub_num_blocks(HubAddress(repo=request.repo, revision=request.commit), stack)


def _num_blocks(folder: Path, stack: Stack | None) -> int:
    checkpoint = open_checkpoint(folder, stack)
    check_stack(checkpoint.family, stack)
    return checkpoint.num_blocks


def _changed(path: str) -> SourceError:
    return SourceError(f"{path} changed while it was read", "Run again once it is complete")


def _copy_checkpoint(folder: Path, scratch: Path) -> None:
    names = open_checkpoint(folder).files
    check_room(scratch, sum((folder / name).stat().st_size for name in names))
    for name in names:
        shutil.copyfile(folder / name, scratch / name)


def _store_checkpoint(vault: Vault, scratch: Path, licence: str | None) -> Outputs:
    checkpoint = open_checkpoint(scratch)
    check_finite(checkpoint)
    named = {"licence": vault.put("values", encode(Licence(licence)), ".json")} if licence else {}
    return {"checkpoint": vault.put_folder("checkpoints", scratch, checkpoint.files), **named}
