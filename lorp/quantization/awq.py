"""AWQ, in the layout of its GEMM kernels: inputs x outputs, eight 4-bit numbers of neighbouring outputs in an int32."""

from dataclasses import dataclass
from typing import ClassVar

from lorp.quantization.layout import SCALES, Layout, LinearMap, Part
from lorp.quantization.patterns import any_skips
from lorp.quantization.settings import Config, flag, group_size, names, natural, text, unknown

METHOD = "awq"
_INT32 = frozenset({"I32"})


@dataclass(frozen=True, kw_only=True)
class Awq:
    """How weights are stored.

    Attributes:
        bits: Of a number.
        group_size: Inputs that share scale and zero; None where all do.
        zeros: Whether zeros are stored in any case.
        skipped: Modules that are not quantised.
    """

    method: ClassVar[str] = METHOD
    bits: int
    group_size: int | None
    zeros: bool
    skipped: tuple[str, ...]

    def layouts(self, linear: LinearMap) -> tuple[Layout, ...]:
        """One, if inputs and outputs can be divided so."""
        outputs, inputs, packed = linear.num_outputs, linear.num_inputs, 32 // self.bits
        size = self.group_size or inputs
        if outputs % packed or inputs % size or any_skips(self.skipped, linear.module):
            return ()
        groups = inputs // size
        return (
            (
                Part(suffix="qweight", dtypes=_INT32, shapes=((inputs, outputs // packed),)),
                Part(suffix="qzeros", dtypes=_INT32, shapes=((groups, outputs // packed),), optional=not self.zeros),
                Part(suffix="scales", dtypes=SCALES, shapes=((groups, outputs),)),
            ),
        )


def read(config: Config) -> Awq:
    """What the config says.

    Raises:
        SourceError: Something that cannot be, or that is not known.
    """
    layout = text(config, "version", text(config, "format", "gemm")).lower()
    if layout != "gemm":
        raise unknown(METHOD, f"the layout {layout!r}")
    if (bits := natural(config, "bits", 4)) not in (4, 8):
        raise unknown(METHOD, f"{bits} bits")
    return Awq(
        bits=bits,
        group_size=group_size(config, 128),
        zeros=flag(config, "zero_point", True),
        skipped=names(config, "modules_to_not_convert"),
    )
