"""The models that a process holds: those that the current stage uses."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from transformers import PreTrainedModel

from lorp.models import load_model, stream_model
from lorp.spec import ComputeSpec

_IN_USE = threading.Lock()
_held: dict[tuple[Path, ComputeSpec], PreTrainedModel] = {}


@contextmanager
def shared_model(folder: Path, compute: ComputeSpec) -> Iterator[PreTrainedModel]:
    """A checkpoint's model, for one user at a time: hooks of two captures would see each other's activations."""
    with shared_models([folder], compute) as (model,):
        yield model


@contextmanager
def shared_models(folders: Sequence[Path], compute: ComputeSpec) -> Iterator[tuple[PreTrainedModel, ...]]:
    """Several checkpoints' models at once, for one user at a time.

    Stages that follow each other on one checkpoint load it once. Models that are not asked for are let go first, so
    that no more are in memory than a stage needs.
    """
    wanted = [(folder, compute) for folder in folders]
    with _IN_USE:
        for key in set(_held).difference(wanted):
            del _held[key]
        for key in wanted:
            if key not in _held:
                _held[key] = _load(*key)
        yield tuple(_held[key] for key in wanted)


def _load(folder: Path, compute: ComputeSpec) -> PreTrainedModel:
    return stream_model(folder, compute) if compute.capture_mode == "streamed" else load_model(folder, compute)
