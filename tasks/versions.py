"""Which software made a result: this code by digest, and the packages whose behaviour its numbers rest on."""

import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import lorp
from lorp.digest import digest_listing, list_files

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


def _code_digest() -> str:
    root = Path(__file__).parent.parent
    packages = ("lorp", "tasks", "flows")
    names = (str(path.relative_to(root)) for package in packages for path in (root / package).rglob("*"))
    return digest_listing(list_files(root, (name for name in names if name.endswith((".py", ".j2")))))
