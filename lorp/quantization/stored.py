"""Stored tensors -> the model's linear maps, and which tensors stand for the weights of those that are quantised.

A map of the model is looked up by the name that its plain weight would have on disk, so that experts are found in the
same way as everything else.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from lorp.architectures import Family
from lorp.architectures.experts import Place
from lorp.errors import SourceError
from lorp.quantization.layout import FLOATS, LinearMap, Scheme, check_parts
from lorp.safetensors_file import Tensor

_WEIGHT = "weight"

#: How names end of what belongs to quantised weights, and never to a plain model.
_TELLING = re.compile(
    r"(qweight|qzeros|scales|g_idx|SCB|weight_format|.*(_scale|_scale_inv|zero_point|_packed|_g_idx|absmax|quant_map))"
    r"|.*quant_state.*"
)
#: Dtypes of quantised weights; bytes and truth values may be masks.
_PACKED = frozenset({"I8", "I16", "I32", "F8_E4M3", "F8_E5M2", "F8_E8M0"})

_CACHE_SCALE = re.compile(r"(.*\.)?[qkv]_(scale|zero_point)")


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A quantised weight.

    Attributes:
        place: Where in the model the plain weight is.
        linear: Its map.
        tensors: What stands for it on disk.
    """

    place: Place
    linear: LinearMap
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How a checkpoint is quantised.

    Attributes:
        scheme: By which scheme.
        linears: All its linear maps, those that are not quantised too.
        quantized: Paths of those that are.
    """

    scheme: Scheme
    linears: tuple[LinearMap, ...]
    quantized: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class _Module:
    """A linear map's module on disk."""

    name: str
    place: Place
    linear: LinearMap


class StoredMaps:
    """The linear maps among stored tensors.

    Args:
        family: Of the model.
        shapes: Of the model's tensors, by name.
        linear: Names of those that are weights of linear maps, and whether they are inputs x outputs.
        stored: By name on disk.
    """

    def __init__(
        self,
        family: Family,
        shapes: Mapping[str, tuple[int, ...]],
        linear: Mapping[str, bool],
        stored: Mapping[str, Tensor],
    ) -> None:
        self._family, self._shapes, self._linear, self._stored = family, shapes, linear, stored

    @cached_property
    def linears(self) -> tuple[LinearMap, ...]:
        """All of them."""
        return tuple(module.linear for module, _ in self._found)

    def packed(self, scheme: Scheme) -> tuple[Packed, ...]:
        """Those whose weights are quantised.

        Raises:
            SourceError: What is stored of one is not what the scheme says; none is quantised.
        """
        found = [
            Packed(place=module.place, linear=module.linear, tensors=self._checked(scheme, module, tensors))
            for module, tensors in self._found
            if not _is_plain(tensors)
        ]
        if not found:
            raise SourceError(
                f"its config says that its weights are quantised ({scheme.method}), and none is stored so",
                "Remove quantization_config if they are as they were",
            )
        return tuple(found)

    def _checked(self, scheme: Scheme, module: _Module, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        layouts = scheme.layouts(module.linear)
        if not layouts:
            name = next(iter(tensors.values())).name
            raise SourceError(
                f"{name} is stored as a quantised weight, and by its config {module.name} is not quantised so",
                "Mend the config",
            )
        check_parts(layouts, module.name, tensors)
        return tuple(tensors.values())

    @cached_property
    def _found(self) -> tuple[tuple[_Module, dict[str, Tensor]], ...]:
        """Modules with what is stored of their weights, by suffix."""
        modules: dict[str, _Module | None] = {}
        tensors: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in self._stored.items():
            ends = [end.start() for end in re.finditer(r"\.", name)]
            for path in (name[:end] for end in ends):
                if path not in modules:
                    modules[path] = self._module(path)
                if modules[path] is not None and not self._is_bias(name, path):
                    tensors[path][name[len(path) + 1 :]] = tensor
        return tuple((module, tensors[path]) for path, module in modules.items() if module and tensors[path])

    def _module(self, path: str) -> _Module | None:
        place = self._family.place_of(f"{path}.{_WEIGHT}", self._shapes)
        if place is None or (place.expert is None and place.name not in self._linear):
            return None
        shape = place.shape(self._shapes[place.name])
        if shape is None:
            raise SourceError(f"{path} is of an expert that its config does not have", "Mend the config")
        rows, columns = reversed(shape) if self._linear.get(place.name, False) else shape
        linear = LinearMap(module=self._family.module_path(path), num_outputs=rows, num_inputs=columns)
        return _Module(name=path, place=place, linear=linear)

    def _is_bias(self, name: str, path: str) -> bool:
        """Whether a tensor is a bias that the model has too, which is stored as it is."""
        return name == f"{path}.bias" and self._family.place_of(name, self._shapes) is not None


def is_cache_scale(name: str) -> bool:
    """Whether a tensor is a scale of keys or values in a cache that is quantised: copied, and read by servers alone."""
    return _CACHE_SCALE.fullmatch(name) is not None


def check_left_over(family: Family, blocks: frozenset[int], tensors: Iterable[Tensor]) -> None:
    """Refuses tensors that no model loads, and that a quantised one may need.

    Args:
        family: Of the model.
        blocks: Indices of its blocks; what is stored of others is left out anyway.
        tensors: What is stored, and no part of the model.

    Raises:
        SourceError: There is one.
    """
    for tensor in tensors:
        block = family.block_of(tensor.name)
        last = tensor.name.rpartition(".")[2]
        if (block is None or block in blocks) and (tensor.dtype in _PACKED or _TELLING.fullmatch(last)):
            raise SourceError(
                f"{tensor.name} ({tensor.dtype}) belongs to no weight that its config says is quantised",
                "Fetch the checkpoint again",
            )


def check_cache_scales(family: Family, blocks: frozenset[int], tensors: Iterable[Tensor]) -> None:
    """Finds the scales of a quantised cache to be those of all blocks or of none.

    Raises:
        SourceError: A block lacks one that others have; one is no floating-point number.
    """
    having: dict[str, set[int]] = defaultdict(set)
    for tensor in tensors:
        block = family.block_of(tensor.name)
        if block is None or tensor.dtype not in FLOATS:
            raise SourceError(f"{tensor.name} ({tensor.dtype}) is no scale of a block's cache", "Dequantise the cache")
        having[family.renumbered(tensor.name, 0)].add(block)
    for name, found in having.items():
        if missing := sorted(blocks - found):
            raise SourceError(
                f"tensor {family.renumbered(name, missing[0])} is missing, which other blocks have",
                "Fetch the checkpoint again",
            )


def _is_plain(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() == {_WEIGHT} and tensors[_WEIGHT].dtype in FLOATS
