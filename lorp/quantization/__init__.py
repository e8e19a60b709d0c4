"""Quantised weights: which tensors stand on disk for a weight, by scheme, and what a config says after a cut."""

from lorp.quantization.layout import FLOATS, LinearMap, Scheme
from lorp.quantization.renumber import pruned_quantization, written_in_order
from lorp.quantization.schemes import FIELD, scheme_of
from lorp.quantization.stored import (
    Packed,
    Quantization,
    StoredMaps,
    check_cache_scales,
    check_left_over,
    is_cache_scale,
)

__all__ = [
    "FIELD",
    "FLOATS",
    "LinearMap",
    "Packed",
    "Quantization",
    "Scheme",
    "StoredMaps",
    "check_cache_scales",
    "check_left_over",
    "is_cache_scale",
    "pruned_quantization",
    "scheme_of",
    "written_in_order",
]
