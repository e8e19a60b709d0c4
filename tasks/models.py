"""The one model that a process holds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from transformers import PreTrainedModel

from lorp.models import load_model
from lorp.spec import ComputeSpec

_IN_USE = threading.Lock()


@contextmanager
def shared_model(folder: Path, compute: ComputeSpec) -> Iterator[PreTrainedModel]:
    """A checkpoint's model, for one user at a time: hooks of two captures would see each other's activations.

    Stages that follow each other on one checkpoint load it once.
    """
    with _IN_USE:
        yield _load(folder, compute)


@lru_cache(maxsize=1)
def _load(folder: Path, compute: ComputeSpec) -> PreTrainedModel:
    return load_model(folder, compute)
