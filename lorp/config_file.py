"""A checkpoint's config, parsed: refused where it makes transformers run or load something that was not checked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorp.errors import SourceError, UnsafeCheckpointError
from lorp.quantization.schemes import FIELD

CONFIG = "config.json"

#: Files by which transformers builds something.
_STEERING = (
    CONFIG, "tokenizer_config.json", "preprocessor_config.json", "processor_config.json",
    "video_preprocessor_config.json", "generation_config.json", "special_tokens_map.json", "chat_template.json",
)  # fmt: skip

#: Fields for which transformers makes a name for each of so many labels, wherever they stand.
_COUNTED, _MAX_LABELS = ("num_labels", "_num_labels"), 100_000

MAX_JSON_BYTES = 50_000_000


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a checkpoint.

    Raises:
        SourceError: Too large, unreadable, or not an object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise SourceError(f"{path.name} is not a readable JSON object", "Fetch the checkpoint again")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a checkpoint folder.

    Raises:
        SourceError: It is not there, or unreadable, or a section of it speaks of quantisation.
        UnsafeCheckpointError: It, or a file beside it, names code, weights or a kernel of its own.
    """
    if not (folder / CONFIG).is_file():
        raise SourceError(f"{folder} is no checkpoint: it holds no {CONFIG}", "Give a checkpoint folder or a GGUF file")
    for name in _STEERING:
        if (folder / name).is_file():
            _refuse_steering(name, read_json(folder / name))
    config = read_json(folder / CONFIG)
    if any(name == FIELD for section in config.values() for name, _ in _fields(section)):
        raise SourceError(f"a section of {CONFIG} has a {FIELD} of its own", "Put it at the top of the config")
    return config


def _refuse_steering(name: str, config: dict[str, Any]) -> None:
    """Refuses fields, however deep, that make transformers run or load something that was not checked."""
    for field, value in _fields(config):
        if field in ("auto_map", "transformers_weights"):
            raise UnsafeCheckpointError(
                f"{name} names code or weights of its own ({field}), which lorp never loads",
                f"Use a checkpoint without them, or remove {field} if stock transformers knows the model",
            )
        if field in _COUNTED and (type(value) is not int or not 0 <= value <= _MAX_LABELS):
            raise SourceError(f"{name} asks for an impossible number of labels ({field})", f"Remove {field}")
        if field in ("attn_implementation", "_attn_implementation") and "/" in str(value):
            raise UnsafeCheckpointError(f"{name} names a kernel to be fetched ({field})", f"Remove {field}")


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every field of a JSON value, with its own value."""
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict):
            yield from inner.items()
            pending.extend(inner.values())
        elif isinstance(inner, list):
            pending.extend(inner)
