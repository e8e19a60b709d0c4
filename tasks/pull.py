"""A version of the ledger -> a folder with its files, every byte of them checked."""

import errno
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from lorp.digest import FileDigest, digest_file, digest_listing
from lorp.disk import check_room
from lorp.errors import IntegrityError, SpecError, StoreError
from lorp.ledger import Standing, standing
from lorp.progress import track
from tasks.aliases import aliases, check_known
from tasks.ledger import read_ledger
from tasks.ledger_versions import read_version
from tasks.records import RunRecord
from tasks.scratch import locked
from tasks.tracking import CANDIDATE
from tasks.vault import Reference, Vault
from tasks.workspace import Workspace

#: `name@alias`, or `name@3`.
VERSION_ADDRESS = re.compile(r"(?P<name>[^@]+)@(?:(?P<version>[0-9]{1,9})|(?P<alias>[A-Za-z][A-Za-z0-9_-]*))")


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What was brought.

    Attributes:
        name: The registered model.
        version: The version that was meant.
        variant: Digest over its files.
        folder: Where they are now.
        bytes: Their size.
    """

    name: str
    version: int
    variant: str
    folder: str
    bytes: int


def pull(places: Workspace, vault: Vault, address: str, to: Path) -> Pulled:
    """Brings a version's files into a new folder: whole or not at all.

    The model card comes along as `README.md`. Files are gathered beside it and checked one by one; what an interrupted
    pull has brought is not brought again. A folder that holds the version already is checked, and left as it is.

    Args:
        places: Where the registry is.
        vault: Where ledger and files are.
        address: `name@alias` or `name@3`.
        to: The folder; there is nothing yet, or this version.

    Raises:
        SpecError: There is no such version, or the folder holds something else.
        IntegrityError: Alias and ledger do not agree, or files are not what they were.
        StoreError: The folder cannot be written.
    """
    match = VERSION_ADDRESS.fullmatch(address)
    if not match:
        raise SpecError(f"{address} names no version", "Give one such as my-model-lorp@production or my-model-lorp@3")
    name, now = match["name"], standing(read_ledger(vault, match["name"]))
    number = int(match["version"]) if match["version"] else _meant(places, now, name, match["alias"])
    version = read_version(vault, now, name, number)
    if match["alias"]:
        check_known(places, name, version.change)
    files = _files(vault, version.run)
    try:
        _bring(files, to)
    except OSError as fault:
        if not _holds(to, files):  # else another pull of this version was quicker
            raise StoreError(f"{to} cannot be written: {fault.strerror}", "Give another folder with --to") from None
    total = sum(file.bytes for file in files)
    return Pulled(name=name, version=number, variant=version.change.variant, folder=str(to), bytes=total)


def _meant(places: Workspace, now: Standing, name: str, alias: str) -> int:
    """The version that an alias stands for, in the ledger and in the registry."""
    registered = aliases(places, name).get(alias)
    number = registered if alias == CANDIDATE else now.now(alias)
    if number is None:
        raise SpecError(f"{name} has no version in {alias}", "Promote one with: lorp promote")
    if registered != number:
        there = f"version {registered}" if registered else "nothing"
        raise IntegrityError(
            f"{name}@{alias} is {there} in the registry, and version {number} in the ledger",
            "If nobody moves it just now, lorp reconcile puts it where the ledger says",
        )
    return number


#: Files to bring, and where each lies.
_Files = dict[FileDigest, Path]


def _files(vault: Vault, run: RunRecord) -> _Files:
    source = vault.folder(run.variant)
    files = {file: source / file.name for file in run.variant.files}
    card = run.card
    if card:
        key = f"values/{card.sha256}.md"
        vault.read(Reference(key=key, sha256=card.sha256, bytes=card.bytes))
        files[card] = vault.store.local(key)
    return files


def _bring(files: _Files, to: Path) -> None:
    if to.is_mount():
        raise _mounted(to)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        if not _holds(to, files):
            raise SpecError(f"{to} holds something else", "Give a folder that is not there yet with --to")
        return
    # Of these files alone: whoever pulls another version there has a folder of their own.
    aside = to.with_name(f".{to.name}.{digest_listing(list(files))[:12]}.pulling")
    aside.mkdir(parents=True, exist_ok=True)
    with locked(aside):
        if not _holds(to, files):
            _fill(aside, files)
            _name(aside, to, files)
    if aside.exists():  # another pull of the same was faster
        shutil.rmtree(aside)


def _fill(aside: Path, files: _Files) -> None:
    check_room(aside, sum(file.bytes for file in files if not (aside / file.name).exists()))
    for file in track(list(files), "pull"):
        if not _is(aside / file.name, file):
            _copy(files[file], aside / file.name, file)
    for path in aside.iterdir():
        if path.name not in {file.name for file in files}:
            path.unlink()


def _name(aside: Path, to: Path, files: _Files) -> None:
    try:
        aside.rename(to)
    except OSError as fault:
        if fault.errno == errno.EBUSY:
            shutil.rmtree(aside)
            raise _mounted(to) from None
        if not to.exists():
            raise StoreError(f"{to} cannot be made: {fault.strerror}", "Give another folder with --to") from None
        if not _holds(to, files):
            shutil.rmtree(aside)
            raise SpecError(f"{to} holds something else by now", "Give another folder with --to") from None


def _mounted(to: Path) -> SpecError:
    """Nothing can be given the name of a place where another file system begins."""
    return SpecError(f"{to} is a mount point, which no folder can replace", f"Give a folder in it, such as {to}/model")


def _copy(source: Path, target: Path, file: FileDigest) -> None:
    """Copies beside, checks, and only then gives the copy its name."""
    new = target.with_name(f".{uuid4().hex}")
    shutil.copyfile(source, new)
    if not _is(new, file):
        new.unlink()
        raise IntegrityError(f"{file.name} changed while it was copied", "Run again")
    new.replace(target)


def _holds(folder: Path, files: Iterable[FileDigest]) -> bool:
    """Whether a folder can be read, and has these files and nothing else."""
    try:
        if not folder.is_dir() or {path.name for path in folder.iterdir()} != {file.name for file in files}:
            return False
        return all(_is(folder / file.name, file) for file in files)
    except OSError:
        return False


def _is(path: Path, file: FileDigest) -> bool:
    """Whether a regular file has a file's bytes."""
    return path.is_file() and not path.is_symlink() and digest_file(path) == file.sha256
