"""Source -> checkpoint folder in the store. Sources are checkpoint folders and GGUF files on the local disk."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.checkpoint import check_finite, open_checkpoint
from lorp.digest import digest_file, digest_listing, list_files
from lorp.errors import SourceError
from lorp.gguf import dequantise, gguf_num_blocks, is_gguf
from lorp.spec import DType
from tasks.stage import Outputs, Request
from tasks.vault import Vault


@dataclass(frozen=True, kw_only=True)
class FetchFolder(Request):
    """A checkpoint folder, stored as it is."""

    STAGE: ClassVar[str] = "fetch"
    VERSION: ClassVar[int] = 1
    path: str
    sha256: str

    def inputs(self) -> Mapping[str, Any]:
        """The digest over the checkpoint's files."""
        return {"kind": "safetensors", "sha256": self.sha256}

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Copies the checkpoint's files, then checks and stores the copies."""
        for name in open_checkpoint(Path(self.path)).files:
            shutil.copyfile(Path(self.path) / name, scratch / name)
        outputs = _store_checkpoint(vault, scratch)
        if outputs["checkpoint"].sha256 != self.sha256:
            raise _changed(self.path)
        return outputs


@dataclass(frozen=True, kw_only=True)
class FetchGguf(Request):
    """A GGUF file, dequantised."""

    STAGE: ClassVar[str] = "fetch"
    VERSION: ClassVar[int] = 1
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
        return _store_checkpoint(vault, scratch)


def fetch_request(source: str, dtype: DType) -> FetchFolder | FetchGguf:
    """The stage that fetches a source; reads the whole source once for its digest.

    Raises:
        SourceError: No such source, or not one that lorp reads.
    """
    path = _existing(source)
    if is_gguf(path):
        return FetchGguf(path=str(path), sha256=digest_file(path), dtype=dtype)
    digest = digest_listing(list_files(path, open_checkpoint(path).files))
    return FetchFolder(path=str(path), sha256=digest)


def source_num_blocks(source: str) -> int:
    """Number of blocks of a source, from its headers alone.

    Raises:
        SourceError: No such source, or not one that lorp reads.
    """
    path = _existing(source)
    if is_gguf(path):
        return gguf_num_blocks(path)
    return open_checkpoint(path).num_blocks


def _existing(source: str) -> Path:
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise SourceError(f"there is no {source}", "Give a checkpoint folder or a GGUF file")
    if path.is_dir() or is_gguf(path):
        return path
    raise SourceError(f"{source} is neither a folder nor a GGUF file", "Give a checkpoint folder or a GGUF file")


def _changed(path: str) -> SourceError:
    return SourceError(f"{path} changed while it was read", "Run again once it is complete")


def _store_checkpoint(vault: Vault, scratch: Path) -> Outputs:
    checkpoint = open_checkpoint(scratch)
    check_finite(checkpoint)
    return {"checkpoint": vault.put_folder("checkpoints", scratch, checkpoint.files)}
