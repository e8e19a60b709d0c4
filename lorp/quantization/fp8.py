"""FP8: a weight in eight-bit floats, with a scale for each block of it or for all of it.

`weight_scale_inv` is what DeepSeek, Qwen and transformers name what weights are multiplied by, `weight_scale` what vLLM
and AutoFP8 do; where activations are scaled by a fixed number, that is stored beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from lorp.quantization.layout import ONE, SCALES, Layout, LinearMap, Part, groups_of
from lorp.quantization.patterns import any_skips
from lorp.quantization.settings import Config, names, text, unknown, wrong

METHOD = "fp8"
WEIGHT_DTYPES = frozenset({"F8_E4M3"})
_DEFAULT_BLOCK = (128, 128)
_BYTE_SCALES = frozenset({"F8_E8M0", "U8"})


@dataclass(frozen=True, kw_only=True)
class Fp8:
    """How weights are stored.

    Attributes:
        block: Outputs and inputs that share a scale; None where a whole weight does.
        block_is_given: Whether the config says so; without, readers differ.
        fixed_activations: Whether activations are scaled by a number that is stored.
        scale_dtypes: In which scales of blocks may be stored.
        skipped: Modules that are not quantised.
    """

    method: ClassVar[str] = METHOD
    block: tuple[int, int] | None
    block_is_given: bool
    fixed_activations: bool
    scale_dtypes: frozenset[str]
    skipped: tuple[str, ...]

    def layouts(self, linear: LinearMap) -> tuple[Layout, ...]:
        """By blocks or as a whole, under either name."""
        if any_skips(self.skipped, linear.module):
            return ()
        weight = Part(suffix="weight", dtypes=WEIGHT_DTYPES, shapes=((linear.num_outputs, linear.num_inputs),))
        inverse = (weight, self._scale(linear), *self._activations("activation_scale"))
        if self.block and self.block_is_given:
            return (inverse,)
        channels = ((linear.num_outputs,), (linear.num_outputs, 1))
        whole = Part(suffix="weight_scale", dtypes=SCALES, shapes=(*ONE, *channels))
        return (inverse, (weight, whole, *self._activations("input_scale")))

    def _scale(self, linear: LinearMap) -> Part:
        if self.block is None:
            return Part(suffix="weight_scale_inv", dtypes=SCALES, shapes=ONE)
        return Part(suffix="weight_scale_inv", dtypes=self.scale_dtypes, shapes=(_grid(self.block, linear),))

    def _activations(self, suffix: str) -> tuple[Part, ...]:
        return (Part(suffix=suffix, dtypes=SCALES, shapes=ONE),) if self.fixed_activations else ()


def read(config: Config) -> Fp8:
    """What the config says.

    Raises:
        SourceError: Something that cannot be, or that is not known.
    """
    for field, known in (("fmt", "e4m3"), ("expert_dtype", "fp8")):
        if (value := text(config, field, known)) != known:
            raise unknown(METHOD, f"{field} {value!r}")
    scheme, scale = text(config, "activation_scheme", "dynamic").lower(), text(config, "scale_fmt", "float")
    if scheme not in ("dynamic", "static"):
        raise unknown(METHOD, f"activation_scheme {scheme!r}")
    if names(config, "modules_to_convert"):
        raise unknown(METHOD, "modules_to_convert")
    given = config.get("modules_to_not_convert") is not None
    return Fp8(
        block=_block(config.get("weight_block_size", _DEFAULT_BLOCK)),
        block_is_given="weight_block_size" in config,
        fixed_activations=scheme == "static",
        scale_dtypes=SCALES | _BYTE_SCALES if scale == "ue8m0" else SCALES,
        skipped=names(config, "modules_to_not_convert" if given else "ignored_layers"),
    )


def misread(scheme: Fp8, linears: Iterable[LinearMap]) -> str | None:
    """The first of these maps whose blocks transformers takes for others when it dequantises them; None if none is.

    It divides a weight into as many equal blocks as there are scales, so the last may not be smaller than the others.
    """
    sides = ((linear, linear.num_outputs, linear.num_inputs) for linear in linears)
    for linear, *lengths in sides:
        pairs = zip(lengths, scheme.block or lengths, strict=True)
        if any(length > size and length % size for length, size in pairs):
            return linear.module
    return None


def _grid(block: tuple[int, int], linear: LinearMap) -> tuple[int, int]:
    return groups_of(linear.num_outputs, block[0]), groups_of(linear.num_inputs, block[1])


def _block(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sizes = list(value) if isinstance(value, list | tuple) else []
    if len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes):
        raise wrong("weight_block_size", "no two numbers above 0")
    return sizes[0], sizes[1]
