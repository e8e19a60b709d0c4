"""A safetensors checkpoint in a local folder: opened lazily, refused when unsafe or unsound.

Opening reads config and tensor headers only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorp.architectures import Family, families_of, family_of
from lorp.architectures.blocks import count_of, lists_in, num_blocks_of, num_extra_blocks_of
from lorp.config_file import CONFIG, read_config, read_json
from lorp.errors import SourceError, UnsafeCheckpointError
from lorp.outline import match, outline_of
from lorp.plan import Stack, called
from lorp.quantization import Quantization, scheme_of
from lorp.safetensors_file import Tensor, read_tensors

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
GENERATION = "generation_config.json"

#: What a variant says of itself: so a variant that is pruned again has the digest by which it is known.
PLAN = "pruning_plan.json"

#: Files that say which token is which text.
VOCABULARY = frozenset(
    {"tokenizer.json", "tokenizer.model", "spiece.model", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt"}
)

#: Files beside the weights that belong to a checkpoint. Everything else in a folder is left where it is.
COMPANIONS = VOCABULARY | {
    CONFIG, PLAN, GENERATION, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE",
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "chat_template.json",
}  # fmt: skip

#: How the files begin that say what one may do with a checkpoint.
LICENCE_FILES = ("LICENSE", "NOTICE")

#: Plain names only: nothing that leads elsewhere.
SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.safetensors")

#: The largest vocabularies take some 40 MB.
_MAX_COMPANION_BYTES = 1 << 28

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A sound checkpoint.

    Attributes:
        folder: Where it lies.
        config: Its parsed `config.json`.
        family: Its family; of a model with several stacks, the stack that was asked for.
        num_blocks: N, the number of that stack's transformer blocks.
        stacks: What is known of each of its stacks.
        depths: The number of blocks of each.
        block_settings: The family's fields about single blocks as its model has them, whether its config gives them
            or transformers derives them from depth.
        tensors: The tensors that its model loads, by their names on disk; those that stand for a quantised weight too.
        ignored: Names of stored tensors that its model does not load.
        shards: Names of its weight files.
        quantization: How its weights are quantised; None where they are not.
    """

    folder: Path
    config: dict[str, Any]
    family: Family
    num_blocks: int
    stacks: tuple[Family, ...]
    depths: dict[Stack | None, int]
    block_settings: dict[str, Any]
    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]
    shards: tuple[str, ...]
    quantization: Quantization | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """What its config says of the model that its blocks are part of: all of it, or a section."""
        return self.family.settings_in(self.config)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors that the model loads."""
        return sum(tensor.num_bytes for tensor in self.tensors.values())

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that make up the checkpoint, sorted."""
        companions = [name for name in COMPANIONS if (self.folder / name).is_file()]
        index = [INDEX] if (self.folder / INDEX).is_file() else []
        return tuple(sorted([*companions, *index, *self.shards]))


def open_checkpoint(folder: Path, stack: Stack | None = None) -> Checkpoint:
    """Opens a checkpoint folder, from config and headers alone.

    Args:
        folder: Where it lies.
        stack: Which stack is meant; unless given, the one that continues a text, or an encoder-decoder's decoder.

    Raises:
        SpecError: It has no such stack.
        SourceError: Not a checkpoint, or its config, index and tensors disagree.
        UnsafeCheckpointError: Pickled weights only, code of its own, or file names that lead elsewhere.
        UnknownArchitectureError: Its family is not known.
    """
    config = read_config(folder)
    family, stacks = family_of(config, stack), families_of(config)
    if "is_encoder_decoder" in config and bool(config["is_encoder_decoder"]) != family.is_encoder_decoder:
        raise SourceError(f"is_encoder_decoder in {CONFIG} is not so for {family.name}", "Mend the config")
    depths = {each.stack: (num_blocks_of if each is family else count_of)(each, config) for each in stacks}
    scheme, shards = scheme_of(config), _shard_names(folder)
    stored = _stored_tensors(folder, shards)
    for each in stacks:
        _check_depth(each, depths[each.stack], num_extra_blocks_of(each, config), stored)
    lists = lists_in(family, family.settings_in(config))
    outline = outline_of(folder, family, tuple(dict.fromkeys((*family.block_fields, *lists))))
    matched = match(family, outline, stored, scheme, [each for each in stacks if each is not family])
    checkpoint = Checkpoint(
        folder=folder,
        config=config,
        family=family,
        num_blocks=depths[family.stack],
        stacks=stacks,
        depths=depths,
        block_settings={field: value for field, value in outline.settings.items() if value is not None},
        tensors=matched.tensors,
        ignored=matched.ignored,
        shards=tuple(shards),
        quantization=matched.quantization,
    )
    _refuse_links_elsewhere(checkpoint)
    _refuse_large_companions(checkpoint)
    return checkpoint


def _shard_names(folder: Path) -> list[str]:
    if (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX).get("weight_map")
        names = list(weight_map.values()) if isinstance(weight_map, dict) else []
        if not names or not all(isinstance(name, str) and name.endswith(".safetensors") for name in names):
            raise SourceError(f"{INDEX} names no weight files", "Fetch the checkpoint again")
        if not all(SHARD_NAME.fullmatch(name) for name in names):
            raise UnsafeCheckpointError(
                f"{INDEX} names files outside its folder, or with unusual characters", "Fetch the checkpoint again"
            )
        if SINGLE not in names and (folder / SINGLE).is_file():
            raise SourceError(f"{folder} holds both {SINGLE} and what {INDEX} names", "Remove the one or the other")
        return sorted(set(names))
    if (folder / SINGLE).is_file():
        return [SINGLE]
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        raise UnsafeCheckpointError(
            f"{folder} holds pickled weights ({pickled[0]}), which can run code when loaded",
            "Convert them to safetensors where they come from",
        )
    raise SourceError(f"{folder} holds no weights: neither {SINGLE} nor {INDEX}", "Fetch the checkpoint again")


def _refuse_links_elsewhere(checkpoint: Checkpoint) -> None:
    """A file may be a link within its folder, or into the blobs of the hub cache that the folder is a snapshot of."""
    folder = checkpoint.folder.resolve()
    allowed = [folder, *([folder.parent.parent / "blobs"] if folder.parent.name == "snapshots" else [])]
    for name in checkpoint.files:
        if (folder / name).resolve().parent not in allowed:
            raise UnsafeCheckpointError(f"{name} is a link out of its folder", "Copy the file itself")


def _refuse_large_companions(checkpoint: Checkpoint) -> None:
    """What lies beside the weights is read as a whole."""
    for name in sorted(set(checkpoint.files) - set(checkpoint.shards)):
        if (checkpoint.folder / name).stat().st_size > _MAX_COMPANION_BYTES:
            raise SourceError(f"{name} is larger than {_MAX_COMPANION_BYTES >> 20} MiB", "Fetch the checkpoint again")


def _stored_tensors(folder: Path, shards: list[str]) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for shard in shards:
        if not (folder / shard).is_file():
            raise SourceError(f"{shard}, which {INDEX} names, is missing", "Fetch the checkpoint again")
        try:
            tensors = read_tensors(folder / shard)
        except OSError as fault:
            raise SourceError(f"{shard} cannot be read: {fault.strerror}", "Look at its permissions") from None
        for tensor in tensors:
            if tensor.name in stored:
                raise SourceError(f"{tensor.name} is stored twice", "Fetch the checkpoint again")
            stored[tensor.name] = tensor
    return stored


def _check_depth(family: Family, num_blocks: int, num_extra: int, stored: dict[str, Tensor]) -> None:
    deepest = max((block for name in stored if (block := family.block_of(name)) is not None), default=-1)
    if not num_blocks <= deepest + 1 <= num_blocks + num_extra:
        raise SourceError(
            f"{CONFIG} says {num_blocks} blocks{_in(family)}, but the weights are those of {deepest + 1}",
            "Mend the config",
        )


def _in(family: Family) -> str:
    return f" in the {called(family.stack)}" if family.stack else ""
