"""GPTQ: inputs x outputs, numbers of neighbouring inputs in an int32; which input is of which group may be stored too.

GPTQModel's `dynamic` says for single modules, by regular expressions of which the first counts, that they are stored
otherwise or not quantised.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from lorp.quantization.layout import FLOATS, SCALES, Layout, LinearMap, Part, groups_of
from lorp.quantization.patterns import NOT_AT_ALL, OTHERWISE, begins
from lorp.quantization.settings import Config, flag, group_size, natural, section, text, unknown

METHOD = "gptq"
_INT32 = frozenset({"I32"})
_BITS = (2, 3, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How one weight is stored.

    Attributes:
        bits: Of a number.
        group_size: Inputs that share scale and zero; None where all do.
        ordered: Whether groups are those of inputs in another order, which has to be stored.
    """

    bits: int
    group_size: int | None
    ordered: bool


@dataclass(frozen=True, kw_only=True)
class Gptq:
    """How weights are stored.

    Attributes:
        packing: In general.
        exceptions: Pairs of a regular expression for modules, and how those are stored; None where as they are.
    """

    method: ClassVar[str] = METHOD
    packing: Packing
    exceptions: tuple[tuple[str, Packing | None], ...]

    def layouts(self, linear: LinearMap) -> tuple[Layout, ...]:
        """One, if inputs and outputs can be divided so."""
        outputs, inputs = linear.num_outputs, linear.num_inputs
        packing = self._packing(linear.module)
        if packing is None or inputs * packing.bits % 32 or outputs * packing.bits % 32:
            return ()
        groups, packed = groups_of(inputs, packing.group_size or inputs), outputs * packing.bits // 32
        return (
            (
                Part(suffix="qweight", dtypes=_INT32, shapes=((inputs * packing.bits // 32, outputs),)),
                Part(suffix="qzeros", dtypes=_INT32, shapes=((groups, packed),)),
                Part(suffix="scales", dtypes=SCALES, shapes=((groups, outputs),)),
                Part(suffix="g_idx", dtypes=_INT32, shapes=((inputs,),), optional=not packing.ordered),
                # Zeros that older writers add to maps without bias; where the model has one, it is no part.
                Part(suffix="bias", dtypes=FLOATS, shapes=((outputs,),), optional=True),
            ),
        )

    def _packing(self, module: str) -> Packing | None:
        found = (packing for pattern, packing in self.exceptions if begins(pattern, module))
        return next(found, self.packing)


def read(config: Config) -> Gptq:
    """What the config says.

    Raises:
        SourceError: Something that cannot be, or that is not known.
    """
    layout = text(config, "checkpoint_format", text(config, "format", "gptq")).lower()
    if layout not in ("gptq", "gptq_v2"):
        raise unknown(METHOD, f"the layout {layout!r}")
    if (packed := text(config, "pack_dtype", "int32")) != "int32":
        raise unknown(METHOD, f"pack_dtype {packed!r}")
    packing = Packing(
        bits=_bits(config, None), group_size=group_size(config, 128), ordered=flag(config, "desc_act", False)
    )
    dynamic = section(config, "dynamic")
    exceptions = tuple(_exception(packing, entry, section(dynamic, entry)) for entry in dynamic)
    return Gptq(packing=packing, exceptions=exceptions)


def _exception(general: Packing, entry: str, changes: dict[str, Any] | Config) -> tuple[str, Packing | None]:
    if entry.startswith(NOT_AT_ALL):
        return entry.removeprefix(NOT_AT_ALL), None
    packing = replace(
        general,
        bits=_bits(changes, general.bits),
        group_size=group_size(changes, general.group_size or -1),
        ordered=flag(changes, "desc_act", general.ordered),
    )
    return entry.removeprefix(OTHERWISE), packing


def _bits(config: Config, default: int | None) -> int:
    if (bits := natural(config, "bits", default)) not in _BITS:
        raise unknown(METHOD, f"{bits} bits")
    return bits
