"""How a quantised linear map is stored: tensors of known names, dtypes and shapes in the place of one weight."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from lorp.errors import SourceError
from lorp.safetensors_file import Tensor

#: In which weights are stored that are not quantised.
FLOATS = frozenset({"F16", "BF16", "F32", "F64"})

#: In which scales are stored.
SCALES = frozenset({"F16", "BF16", "F32"})

#: Shapes in which one number is stored.
ONE: tuple[tuple[int, ...], ...] = ((), (1,), (1, 1))


@dataclass(frozen=True, kw_only=True)
class LinearMap:
    """A linear map of the model, by itself or one of an expert.

    Attributes:
        module: Path of its module, as a quantisation config would name it.
        num_outputs: O, rows of its weight.
        num_inputs: I, columns of its weight.
    """

    module: str
    num_outputs: int
    num_inputs: int

    @property
    def num_weights(self) -> int:
        """O times I."""
        return self.num_outputs * self.num_inputs


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the tensors that stand for a weight.

    Attributes:
        suffix: What its name ends with, after the module's path.
        dtypes: Those it may have, as safetensors spells them.
        shapes: Those it may have; -1 stands for any length.
        optional: Whether it may be absent.
    """

    suffix: str
    dtypes: frozenset[str]
    shapes: tuple[tuple[int, ...], ...]
    optional: bool = False

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of that shape may be this part."""
        return any(
            len(shape) == len(wanted) and all(length in (size, -1) for size, length in zip(shape, wanted, strict=True))
            for wanted in self.shapes
        )


Layout = tuple[Part, ...]


class Scheme(Protocol):
    """What a quantisation config says of how weights are stored; compared by value.

    Attributes:
        method: As configs and people call it.
    """

    method: ClassVar[str]

    def layouts(self, linear: LinearMap) -> tuple[Layout, ...]:
        """How a map may be stored instead of as a plain weight; empty where the config leaves it as it is."""
        ...


def groups_of(length: int, size: int) -> int:
    """Number of groups of a size, the last of which may be smaller."""
    return -(-length // size)


def check_parts(layouts: Sequence[Layout], module: str, stored: Mapping[str, Tensor]) -> None:
    """Finds the stored tensors of a quantised map to be one of its layouts.

    Args:
        layouts: At least one.
        module: Path of the module, as stored.
        stored: Its tensors by suffix.

    Raises:
        SourceError: They are none; says what is wrong, by the layout that has most of their names.
    """
    nearest = max(layouts, key=lambda layout: len(stored.keys() & {part.suffix for part in layout}))
    faults = [fault for layout in (nearest, *layouts) if (fault := _fault(layout, module, stored)) is not None]
    if len(faults) == len(layouts) + 1:
        raise SourceError(faults[0], "Fetch the checkpoint again")


def _fault(layout: Iterable[Part], module: str, stored: Mapping[str, Tensor]) -> str | None:
    """What is wrong with stored tensors as that layout; None if nothing is."""
    parts = {part.suffix: part for part in layout}
    for part in parts.values():
        if not part.optional and part.suffix not in stored:
            return f"tensor {module}.{part.suffix} is missing"
    for suffix, tensor in stored.items():
        if suffix not in parts:
            return f"{tensor.name} is no part of how its quantised weight is stored"
        if tensor.dtype not in parts[suffix].dtypes:
            wanted = " or ".join(sorted(parts[suffix].dtypes))
            return f"{tensor.name} is stored as {tensor.dtype}, where its quantisation wants {wanted}"
        if not parts[suffix].fits(tensor.shape):
            shape = " or ".join(str(list(shape)) for shape in parts[suffix].shapes)
            return f"{tensor.name} has the shape {list(tensor.shape)}, where its quantisation wants {shape}"
    return None
