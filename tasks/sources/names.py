"""Names of the files at a source -> those that make up its checkpoint: nothing else is ever brought here."""

from collections.abc import Callable, Collection
from typing import Any

from lorp.checkpoint import COMPANIONS, INDEX, SHARD_NAME, SINGLE
from lorp.config_file import CONFIG
from lorp.errors import SourceError, UnsafeCheckpointError

_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def checkpoint_names(source: str, names: Collection[str], index: Callable[[], dict[str, Any]]) -> list[str]:
    """The files to bring, sorted; whether they are a sound checkpoint is seen when they are here.

    Args:
        source: For errors.
        names: All files there.
        index: Reads the index of the weights; called only if there is one.

    Raises:
        SourceError: There is no checkpoint.
        UnsafeCheckpointError: Its weights are pickled, or have names that lead elsewhere.
    """
    if CONFIG not in names:
        raise SourceError(f"{source} is no checkpoint: it holds no {CONFIG}", "Give a checkpoint folder's address")
    weights = _weights(source, index()) if INDEX in names else {SINGLE}
    if not weights & set(names):
        if any(name.endswith(_PICKLED) for name in names):
            raise UnsafeCheckpointError(
                f"{source} holds pickled weights only, which can run code when loaded",
                "Convert them to safetensors where they come from",
            )
        raise SourceError(f"{source} holds no weights: neither {SINGLE} nor {INDEX}", "Give another address")
    return sorted((COMPANIONS | {INDEX} | weights) & set(names))


def _weights(source: str, index: dict[str, Any]) -> set[str]:
    found = index.get("weight_map")
    weights = set(map(str, found.values())) if isinstance(found, dict) else set()
    if not all(SHARD_NAME.fullmatch(name) for name in weights):
        raise UnsafeCheckpointError(
            f"{INDEX} of {source} names weights outside its folder, or that are no safetensors", "Give another address"
        )
    return weights
