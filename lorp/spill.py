"""States of many windows, in memory as far as they fit, the others in files."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lorp.disk import check_room

#: What is kept in memory.
MEMORY_BYTES = 1 << 30


class Spill:
    """Tensors by number. Those that do not fit into memory are in files, which are gone once this closes.

    Args:
        memory_bytes: How much stays in memory.
        folder: Where files go; a temporary folder unless given.

    Raises:
        SpaceError: What is put in fits neither into memory nor onto the disk.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES, folder: Path | None = None) -> None:
        self._memory_bytes = memory_bytes
        self._files = TemporaryDirectory(prefix="lorp-states-", dir=folder)
        self._here: dict[int, torch.Tensor] = {}
        self._there: dict[int, tuple[torch.Size, torch.dtype, torch.device]] = {}

    def __enter__(self) -> "Spill":
        return self

    def __exit__(self, *_: object) -> None:
        self._here.clear()
        self._files.cleanup()

    def __getitem__(self, number: int) -> torch.Tensor:
        if number in self._here:
            return self._here[number]
        shape, dtype, device = self._there[number]
        flat = torch.from_file(str(self._path(number)), size=shape.numel(), dtype=dtype)
        return flat.clone().reshape(shape).to(device)

    def __setitem__(self, number: int, value: torch.Tensor) -> None:
        self._here.pop(number, None)
        if sum(tensor.nbytes for tensor in self._here.values()) + value.nbytes <= self._memory_bytes:
            self._here[number] = value
            return
        check_room(Path(self._files.name), value.nbytes)
        self._there[number] = (value.shape, value.dtype, value.device)
        self._path(number).write_bytes(value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())

    def _path(self, number: int) -> Path:
        return Path(self._files.name) / str(number)
