"""Which software made a result: this code by digest, and the packages whose behaviour its numbers rest on."""

import json
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import lorp
from lorp.digest import digest_listing, list_files
from lorp.lineage import FILES_DIGEST

_ROOT = Path(__file__).parent.parent
_CODE = ("lorp", "tasks", "flows")
_GIT_SECONDS = 10

_PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "scikit-learn", "pyarrow", "gguf",
    "lm-eval", "datasets",
)  # fmt: skip


@cache
def software_versions() -> dict[str, str]:
    """Versions of lorp, Python and the packages that compute, and a digest over lorp's own code."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return {**versions, "lorp": lorp.__version__, "lorp-code": _code_digest(), "python": platform.python_version()}


@cache
def installed_packages() -> dict[str, str]:
    """Name and version of every installed package."""
    found = {entry.metadata["Name"]: entry.version for entry in metadata.distributions()}
    return dict(sorted(found.items()))


@cache
def code_version() -> dict[str, Any]:
    """This code as an in-toto descriptor has it: package URL, digest over its files, and the commit where one is known.

    A commit is known of a git checkout, and of what pip installed from one; that files differ from it is said.
    """
    commit, changed = _checked_out() or (_installed_from(), False)
    digest = {FILES_DIGEST: _code_digest(), **({"gitCommit": commit} if commit else {})}
    annotations = {"changedSinceCommit": changed} if commit else {}
    return {"uri": f"pkg:pypi/lorp@{lorp.__version__}", "digest": digest, "annotations": annotations}


def _checked_out() -> tuple[str, bool] | None:
    if not (_ROOT / ".git").exists():
        return None
    commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *_CODE)
    return None if commit is None or status is None else (commit, bool(status))


def _git(*words: str) -> str | None:
    """What git says of the folder that holds this code; None if it cannot be asked."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", "--no-optional-locks", "-C", str(_ROOT), *words],  # noqa: S607 - whichever git the person uses
            capture_output=True,
            check=True,
            text=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _installed_from() -> str | None:
    """The commit that pip noted, for a package that it installed from a git address."""
    try:
        noted = metadata.distribution("lorp").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    commit = (json.loads(noted).get("vcs_info") or {}).get("commit_id") if noted else None
    return str(commit) if commit else None


def _code_digest() -> str:
    names = (str(path.relative_to(_ROOT)) for package in _CODE for path in (_ROOT / package).rglob("*"))
    return digest_listing(list_files(_ROOT, (name for name in names if name.endswith((".py", ".j2")))))
