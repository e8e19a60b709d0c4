"""compressed-tensors: groups of modules, each stored in a format of its own.

A group names its modules by class, path or regular expression. Only formats whose tensors follow from the shape of a
weight are known: packed integers, 8-bit integers and 8-bit floats.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from lorp.errors import SourceError
from lorp.quantization.layout import ONE, SCALES, Layout, LinearMap, Part, groups_of
from lorp.quantization.patterns import REGEX, names_it
from lorp.quantization.settings import Config, flag, names, natural, section, text, unknown, wrong

METHOD = "compressed-tensors"
_LINEAR = "Linear"
_INT32, _INT8 = frozenset({"I32"}), frozenset({"I8"})
_STRATEGIES = ("tensor", "channel", "group", "block")
_PACKED = "pack-quantized"
_DTYPES = {"int": "I8", "float": "F8_E4M3"}
_TYPE_OF_FORMAT = {"int-quantized": "int", "float-quantized": "float"}


@dataclass(frozen=True, kw_only=True)
class Group:
    """How the weights of some modules are stored.

    Attributes:
        targets: The modules.
        packed: Whether several numbers are in an int32.
        kind: `int` or `float`.
        bits: Of a number.
        strategy: What shares a scale: a `tensor`, a `channel`, a `group` of inputs, a `block`.
        sizes: Of a group: one number; of a block: two.
        zeros: Whether zeros are stored.
        ordered: Whether groups are those of inputs in another order, which is stored.
        quantized_inputs: Whether inputs are quantised too, when it runs.
        fixed_inputs: Whether inputs are scaled by a number that is stored.
    """

    targets: tuple[str, ...]
    packed: bool
    kind: str
    bits: int
    strategy: str
    sizes: tuple[int, ...]
    zeros: bool
    ordered: bool
    quantized_inputs: bool
    fixed_inputs: bool

    def layout(self, linear: LinearMap) -> Layout:
        """Of one of its modules."""
        scale = self._scale_shapes(linear)
        inputs = Part(suffix="input_scale", dtypes=SCALES, shapes=ONE)
        zeros = Part(suffix="input_zero_point", dtypes=frozenset({_DTYPES[self.kind]}), shapes=ONE, optional=True)
        return (
            *(self._packed_weight(linear) if self.packed else self._weight(linear, scale)),
            Part(suffix="weight_scale", dtypes=SCALES, shapes=scale),
            Part(suffix="weight_g_idx", dtypes=_INT32, shapes=((linear.num_inputs,),), optional=not self.ordered),
            *((inputs, zeros) if self.fixed_inputs else ()),
        )

    def _weight(self, linear: LinearMap, scale: tuple[tuple[int, ...], ...]) -> Layout:
        dtypes = frozenset({_DTYPES[self.kind]})
        return (
            Part(suffix="weight", dtypes=dtypes, shapes=((linear.num_outputs, linear.num_inputs),)),
            Part(suffix="weight_zero_point", dtypes=dtypes, shapes=scale, optional=not self.zeros),
        )

    def _packed_weight(self, linear: LinearMap) -> Layout:
        outputs, inputs = linear.num_outputs, linear.num_inputs
        scales = [shape for shape in self._scale_shapes(linear) if shape]
        zeros = (*((rows, *shape[1:]) for shape in scales for rows in self._items(shape[0])), *scales)
        return (
            Part(
                suffix="weight_packed", dtypes=_INT32, shapes=tuple((outputs, items) for items in self._items(inputs))
            ),
            Part(suffix="weight_shape", dtypes=_INT32 | {"I64"}, shapes=((2,),)),
            Part(suffix="weight_zero_point", dtypes=_INT32 | _INT8, shapes=zeros, optional=not self.zeros),
        )

    def _items(self, numbers: int) -> tuple[int, ...]:
        """How many int32 they are packed into: bits without gaps, or by older versions whole numbers."""
        return groups_of(numbers * self.bits, 32), groups_of(numbers, 32 // self.bits)

    def _scale_shapes(self, linear: LinearMap) -> tuple[tuple[int, ...], ...]:
        outputs, inputs = linear.num_outputs, linear.num_inputs
        shapes: dict[str, Callable[[], tuple[tuple[int, ...], ...]]] = {
            "tensor": lambda: ONE,
            "channel": lambda: ((outputs, 1),),
            "group": lambda: ((outputs, groups_of(inputs, self.sizes[0])),),
            "block": lambda: ((groups_of(outputs, self.sizes[0]), groups_of(inputs, self.sizes[1])),),
        }
        return shapes[self.strategy]()


@dataclass(frozen=True, kw_only=True)
class CompressedTensors:
    """How weights are stored.

    Attributes:
        groups: What is stored how.
        ignored: Modules that are not quantised.
    """

    method: ClassVar[str] = METHOD
    groups: tuple[Group, ...]
    ignored: tuple[str, ...]

    def layouts(self, linear: LinearMap) -> tuple[Layout, ...]:
        """That of the group that names the map most closely: by path, by regular expression, by class.

        Raises:
            SourceError: Two groups name it equally closely.
        """
        if any(names_it(entry, linear.module) for entry in self.ignored):
            return ()
        for closeness in (_by_path, _by_regex, _by_class):
            found = [group for group in self.groups if any(closeness(entry, linear.module) for entry in group.targets)]
            if len(found) > 1:
                raise SourceError(
                    f"two groups of its quantisation config are meant for {linear.module}", "Mend the config"
                )
            if found:
                return (found[0].layout(linear),)
        return ()


def read(config: Config) -> CompressedTensors:
    """What the config says.

    Raises:
        SourceError: Something that cannot be, or that is not known.
    """
    if text(section(config, "sparsity_config"), "format", "dense") != "dense":
        raise unknown(METHOD, "sparse weights")
    if section(config, "transform_config"):
        raise unknown(METHOD, "transforms")
    general, groups = text(config, "format", "dense"), section(config, "config_groups")
    read_groups = [_group(section(groups, name), general) for name in groups]
    return CompressedTensors(
        groups=tuple(group for group in read_groups if group is not None), ignored=names(config, "ignore")
    )


def _group(config: Config, general: str) -> Group | None:
    """None where its weights are as they are."""
    weights = section(config, "weights")
    if not weights:
        return None
    layout, kind, bits = text(config, "format", general), text(weights, "type", "int"), natural(weights, "num_bits", 8)
    packed = layout == _PACKED
    if not packed and layout != "naive-quantized" and _TYPE_OF_FORMAT.get(layout) != kind:
        raise unknown(METHOD, f"the format {layout!r} of type {kind!r}")
    if kind not in _DTYPES or bits > 8 or (kind == "float" and (packed or bits != 8)):
        raise unknown(METHOD, f"{layout} weights of {bits} bits and type {kind!r}")
    strategy, sizes = _strategy(weights)
    return Group(
        targets=names(config, "targets"),
        packed=packed,
        kind=kind,
        bits=bits,
        strategy=strategy,
        sizes=sizes,
        zeros=not flag(weights, "symmetric", True),
        ordered=weights.get("actorder") in ("group", "dynamic"),
        quantized_inputs=bool(section(config, "input_activations")),
        fixed_inputs=_are_fixed(section(config, "input_activations")),
    )


def _strategy(weights: Config) -> tuple[str, tuple[int, ...]]:
    size: Any = weights.get("group_size")
    implied = "tensor" if size is None else "channel" if size == -1 else "group"
    strategy = text(weights, "strategy", implied)
    if strategy not in _STRATEGIES:
        raise unknown(METHOD, f"the strategy {strategy!r}")
    if strategy == "group":
        return strategy, (natural(weights, "group_size"),)
    if strategy == "block":
        sizes = weights.get("block_structure")
        if not isinstance(sizes, list) or len(sizes) != 2 or not all(type(n) is int and n > 0 for n in sizes):
            raise wrong("block_structure", "no two numbers above 0")
        return strategy, tuple(sizes)
    return strategy, ()


def _are_fixed(inputs: Config) -> bool:
    """Whether inputs are quantised by a stored number; `local`, in other formats, is a mixture of both."""
    return bool(inputs) and not flag(inputs, "dynamic", False)


def _by_path(entry: str, module: str) -> bool:
    return entry == module


def _by_regex(entry: str, module: str) -> bool:
    return entry.startswith(REGEX) and names_it(entry, module)


def _by_class(entry: str, _module: str) -> bool:
    return entry == _LINEAR
