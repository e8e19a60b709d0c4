"""A checkpoint's config -> the scheme by which its weights are quantised."""

from collections.abc import Callable, Mapping
from typing import Any

from lorp.errors import SourceError
from lorp.quantization import awq, bitsandbytes, compressed_tensors, fp8, gptq
from lorp.quantization.layout import Scheme
from lorp.quantization.settings import Config, flag, text, wrong

#: The field of a checkpoint's config.
FIELD = "quantization_config"

#: A name that it had with compressed-tensors, and that transformers no longer reads.
_FORMER_FIELD = "compression_config"

_READERS: Mapping[str, Callable[[Config], Scheme]] = {
    fp8.METHOD: fp8.read,
    awq.METHOD: awq.read,
    gptq.METHOD: gptq.read,
    bitsandbytes.METHOD: bitsandbytes.read,
    compressed_tensors.METHOD: compressed_tensors.read,
}


def scheme_of(config: Mapping[str, Any]) -> Scheme | None:
    """By what scheme a checkpoint with this config is quantised; None where it is not.

    Raises:
        SourceError: By one that is not known, or with settings that are not, or that cannot be.
    """
    if config.get(_FORMER_FIELD) is not None:
        raise SourceError(
            f"its config names its quantisation {_FORMER_FIELD}, which transformers no longer reads",
            f"Rename it to {FIELD}",
        )
    value = config.get(FIELD)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong(FIELD, "no object")
    method = _method(value)
    if method not in _READERS:
        raise SourceError(
            f"its weights are quantised by {method[:64]!r}, which lorp cannot prune (known: {', '.join(_READERS)})",
            "Dequantise the checkpoint first",
        )
    return _READERS[method](value)


def _method(config: Config) -> str:
    """Its name; transformers takes whatever asks for 8 or 4 bits for bitsandbytes."""
    by_bits = flag(config, "load_in_8bit", False) or flag(config, "load_in_4bit", False)
    method = text(config, "quant_method", bitsandbytes.METHOD if by_bits else "")
    if by_bits and method != bitsandbytes.METHOD:
        raise SourceError(f"its quantisation config says {method[:64]!r}, and asks for bitsandbytes", "Mend the config")
    return method
