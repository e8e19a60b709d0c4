"""bitsandbytes: 8-bit numbers with a scale an output, or pairs of 4-bit ones with a scale a block of weights.

With double quantisation the scales of blocks are bytes themselves, 256 of which share a scale.
"""

from dataclasses import dataclass
from typing import ClassVar

from lorp.quantization.layout import Layout, LinearMap, Part, groups_of
from lorp.quantization.patterns import any_skips
from lorp.quantization.settings import Config, flag, names, text, unknown

METHOD = "bitsandbytes"
_BYTES, _FLOAT = frozenset({"U8"}), frozenset({"F32"})
_STORAGE = {"uint8": "U8", "int8": "I8", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
_ITEM_BYTES = {"U8": 1, "I8": 1, "F16": 2, "BF16": 2, "F32": 4, "F64": 8}

#: Weights that share a scale; the second on AMD's accelerators.
_BLOCKS = (64, 128)
_NESTED_BLOCK, _NESTED_LEVELS = 256, 256


@dataclass(frozen=True, kw_only=True)
class EightBits:
    """How weights are stored in 8 bits.

    Attributes:
        skipped: Modules that are not quantised.
    """

    method: ClassVar[str] = METHOD
    skipped: tuple[str, ...]

    def layouts(self, linear: LinearMap) -> tuple[Layout, ...]:
        """One."""
        if any_skips(self.skipped, linear.module):
            return ()
        outputs, inputs = linear.num_outputs, linear.num_inputs
        return (
            (
                Part(suffix="weight", dtypes=frozenset({"I8"}), shapes=((outputs, inputs),)),
                Part(suffix="SCB", dtypes=_FLOAT, shapes=((outputs,),)),
                Part(suffix="weight_format", dtypes=_BYTES, shapes=((), (1,)), optional=True),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class FourBits:
    """How weights are stored in 4 bits.

    Attributes:
        kind: `nf4` or `fp4`.
        nested: Whether scales are quantised too.
        storage: The dtype that pairs are stored as, several in an item.
        skipped: Modules that are not quantised.
    """

    method: ClassVar[str] = METHOD
    kind: str
    nested: bool
    storage: str
    skipped: tuple[str, ...]

    def layouts(self, linear: LinearMap) -> tuple[Layout, ...]:
        """One for each number of weights that may share a scale."""
        if any_skips(self.skipped, linear.module):
            return ()
        return tuple(self._layout(linear.num_weights, size) for size in _BLOCKS)

    def _layout(self, num_weights: int, size: int) -> Layout:
        items = groups_of(num_weights, 2 * _ITEM_BYTES[self.storage])
        return (
            Part(suffix="weight", dtypes=frozenset({self.storage}), shapes=((items, 1), (1, items))),
            *self._scales(groups_of(num_weights, size)),
            Part(suffix="weight.quant_map", dtypes=_FLOAT, shapes=((16,),)),
            Part(suffix=f"weight.quant_state.bitsandbytes__{self.kind}", dtypes=_BYTES, shapes=((-1,),)),
        )

    def _scales(self, blocks: int) -> Layout:
        if not self.nested:
            return (Part(suffix="weight.absmax", dtypes=_FLOAT, shapes=((blocks,),)),)
        return (
            Part(suffix="weight.absmax", dtypes=_BYTES, shapes=((blocks,),)),
            Part(suffix="weight.nested_absmax", dtypes=_FLOAT, shapes=((groups_of(blocks, _NESTED_BLOCK),),)),
            Part(suffix="weight.nested_quant_map", dtypes=_FLOAT, shapes=((_NESTED_LEVELS,),)),
        )


def read(config: Config) -> EightBits | FourBits:
    """What the config says.

    Raises:
        SourceError: Something that cannot be, or that is not known.
    """
    eight, four = flag(config, "load_in_8bit", False), flag(config, "load_in_4bit", False)
    if eight == four:
        raise unknown(METHOD, "neither 8 nor 4 bits" if not eight else "both 8 and 4 bits")
    skipped = names(config, "llm_int8_skip_modules")
    if eight:
        return EightBits(skipped=skipped)
    kind, storage = text(config, "bnb_4bit_quant_type", "fp4"), text(config, "bnb_4bit_quant_storage", "uint8")
    if kind not in ("nf4", "fp4") or storage not in _STORAGE:
        raise unknown(METHOD, f"bnb_4bit_quant_type {kind!r} stored as {storage!r}")
    nested = flag(config, "bnb_4bit_use_double_quant", False)
    return FourBits(kind=kind, nested=nested, storage=_STORAGE[storage], skipped=skipped)
