"""The one model that a process holds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import PreTrainedModel

from lorp.models import load_model
from lorp.spec import ComputeSpec

_IN_USE = threading.Lock()
_held: dict[tuple[Path, ComputeSpec], PreTrainedModel] = {}


@contextmanager
def shared_model(folder: Path, compute: ComputeSpec) -> Iterator[PreTrainedModel]:
    """A checkpoint's model, for one user at a time: hooks of two captures would see each other's activations.

    Stages that follow each other on one checkpoint load it once. The model before is let go first, so that two are
    never in memory.
    """
    with _IN_USE:
        if (folder, compute) not in _held:
            _held.clear()
            _held[folder, compute] = load_model(folder, compute)
        yield _held[folder, compute]
