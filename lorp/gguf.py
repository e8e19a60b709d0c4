"""GGUF files: recognised without torch, and dequantised to a checkpoint folder by transformers."""

from pathlib import Path
from tempfile import TemporaryDirectory

from lorp.disk import check_room, full_told
from lorp.errors import SourceError, UnknownArchitectureError
from lorp.gguf_header import MAGIC, check_header
from lorp.licence import identifier
from lorp.spec import DType

_KNOWN = frozenset({"llama", "mistral"})


def is_gguf(path: Path) -> bool:
    """Whether a path is a file that begins as GGUF files do."""
    try:
        if not path.is_file():  # what is a pipe would be waited for
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def gguf_num_blocks(path: Path) -> int:
    """Number of blocks that a GGUF file says it holds.

    Raises:
        SourceError: The file is malformed.
        UnknownArchitectureError: Its architecture is not known.
    """
    from gguf import GGUFReader

    check_header(path)
    try:
        reader = GGUFReader(path)
        architecture = _field(reader, "general.architecture")
        num_blocks = _field(reader, f"{architecture}.block_count")
    except Exception as fault:  # the reader trusts lengths and raises what that leads to
        raise SourceError(f"{path.name} is no readable GGUF file: {fault}", "Fetch the file again") from fault
    if architecture not in _KNOWN:
        raise UnknownArchitectureError(
            f"GGUF architecture {architecture!r} is none that lorp can prune (known: {', '.join(sorted(_KNOWN))})",
            "Choose a checkpoint of a known one",
        )
    return int(num_blocks)


def gguf_licence(path: Path) -> str | None:
    """The licence that a GGUF file names, if it names one."""
    from gguf import GGUFReader

    try:
        check_header(path)
        return identifier(_field(GGUFReader(path), "general.license"))
    except Exception:  # the reader trusts lengths and raises what that leads to
        return None


def dequantise(path: Path, folder: Path, dtype: DType) -> None:
    """Writes a GGUF file's model and tokenizer as a safetensors checkpoint.

    The file is read through a link in a folder of its own: transformers would also take what lies beside it.

    Raises:
        SourceError: transformers cannot read the file.
        SpaceError: The checkpoint does not fit onto the disk.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    check_header(path)
    source = {"gguf_file": "model.gguf", "trust_remote_code": False, "local_files_only": True}
    with TemporaryDirectory() as alone:
        (Path(alone) / "model.gguf").symlink_to(path.absolute())
        try:
            model = AutoModelForCausalLM.from_pretrained(
                alone, dtype=getattr(torch, dtype), quantization_config=GgufConfig(dequantize=True), **source
            )
            tokenizer = AutoTokenizer.from_pretrained(alone, **source)
        except Exception as fault:  # malformed files fail anywhere in the loader
            raise SourceError(f"{path.name} cannot be dequantised: {fault}", "Fetch the file again") from fault
    check_room(folder, sum(weights.nbytes for weights in model.parameters()))
    with full_told(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _field(reader: "object", name: str) -> str | int:
    field = reader.get_field(name)  # type: ignore[attr-defined]
    if field is None:
        raise ValueError(f"it has no {name}")
    value: str | int = field.contents()
    return value
