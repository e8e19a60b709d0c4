"""Checkpoint + plan -> pruned checkpoint: byte ranges copied, headers rewritten, no model built.

Memory is bounded by a copy buffer, whatever the checkpoint's size. The same inputs give the same bytes anywhere.
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from lorp.architectures.blocks import pruned_counts, pruned_pairs, pruned_settings, pruned_states
from lorp.checkpoint import GENERATION, INDEX, PLAN, Checkpoint
from lorp.config_file import CONFIG, read_json
from lorp.disk import check_room
from lorp.errors import CountError, IntegrityError
from lorp.plan import PruningPlan, called, of_stack
from lorp.progress import track
from lorp.quantization import pruned_quantization, written_in_order
from lorp.safetensors_file import Tensor, encode_header

#: The config's field that says what was removed; transformers keeps it as it is, and makes nothing of it.
NOTE = "lorp"

_BUFFER_BYTES = 1 << 23

#: A tensor to copy, and its name in the pruned checkpoint.
Copy = tuple[Tensor, str]


def prune(checkpoint: Checkpoint, plan: PruningPlan, folder: Path, patch: Iterable[Tensor] = ()) -> None:
    """Writes the pruned checkpoint into an empty folder.

    Kept blocks are renumbered from 0, names are those of the source otherwise. Tensors that the model does not load
    are left out; those that stand for quantised weights are copied as they are. Config fields that count blocks or say
    something of single ones follow, and so do names of modules in its quantisation config. The config's `lorp` and
    `pruning_plan.json` say which block of the dense model each kept one is.

    Args:
        checkpoint: The dense model.
        plan: Which blocks are removed.
        folder: Where to write.
        patch: Tensors that take the place of those of the same name in the dense model.

    Raises:
        CountError: The plan is for a model of another depth, or leaves a stack too shallow for the other.
        IntegrityError: The plan is for another stack, or the patch not for this checkpoint.
        SourceError: Its quantisation config names blocks in a way that cannot be renumbered.
        SpaceError: It does not fit onto the folder's disk.
    """
    if plan.stack != checkpoint.family.stack:
        raise IntegrityError(
            f"the plan is for the {called(plan.stack)}, not the {called(checkpoint.family.stack)}", "Plan again"
        )
    if plan.num_blocks != checkpoint.num_blocks:
        raise CountError(
            f"the plan is for {plan.num_blocks} blocks, and the checkpoint has {checkpoint.num_blocks}", "Plan again"
        )
    check_depths(checkpoint, len(plan.removed))
    shards = _plan_copies(checkpoint, plan, _checked(checkpoint, patch))
    written = {CONFIG: _pruned_config(checkpoint, plan), PLAN: _note(plan), **_pruned_generation(checkpoint, plan)}
    if INDEX in checkpoint.files:
        written[INDEX] = _index(shards)
    check_room(folder, sum(tensor.num_bytes for copies in shards.values() for tensor, _ in copies))
    for name, copies in track(list(shards.items()), "write weights"):
        _write_shard(folder / name, copies)
    for name, value in written.items():
        _write_json(folder / name, value)
    for name in checkpoint.files:
        if name not in {*checkpoint.shards, *written}:
            shutil.copyfile(checkpoint.folder / name, folder / name)


def check_depths(checkpoint: Checkpoint, count: int) -> None:
    """Refuses to make a stack shallower than another one needs it to be.

    Raises:
        CountError: With the reason.
    """
    most, family = most_removable(checkpoint), checkpoint.family
    if family.at_least_as_deep and count > most:
        raise CountError(
            f"{count} of {checkpoint.num_blocks} blocks cannot go from the {family.stack}: {family.at_least_as_deep}",
            "Prune the other stack first" if most < 1 else f"Prune the other stack first, or remove {most} at most",
        )


def most_removable(checkpoint: Checkpoint) -> int:
    """How many blocks may go: not the first nor the last, and not so many that the other stack is too deep."""
    family, num_blocks = checkpoint.family, checkpoint.num_blocks
    others = [depth for stack, depth in checkpoint.depths.items() if stack != family.stack]
    return min(num_blocks - 2, num_blocks - max(others)) if family.at_least_as_deep else num_blocks - 2


def kept_blocks_of(config: bytes) -> tuple[tuple[int, ...], str | None] | None:
    """What a variant's `config.json` says of its blocks: block i was block `kept[i]` of its source, in which stack.

    None if it says nothing.
    """
    try:
        note = json.loads(config)[NOTE]
        return tuple(int(block) for block in note["kept_blocks"]), note.get("stack")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def _checked(checkpoint: Checkpoint, patch: Iterable[Tensor]) -> dict[str, Tensor]:
    by_name = {new.name: new for new in patch}
    for new in by_name.values():
        old = checkpoint.tensors.get(new.name)
        if old is None or (old.dtype, old.shape) != (new.dtype, new.shape):
            raise IntegrityError(f"the patch changes {new.name}, which the checkpoint has not like that", "Heal again")
    return by_name


def _plan_copies(checkpoint: Checkpoint, plan: PruningPlan, patch: dict[str, Tensor]) -> dict[str, list[Copy]]:
    """What each shard of the pruned checkpoint holds, in the source's order; shards left empty are dropped."""
    new_index = {block: index for index, block in enumerate(plan.kept)}
    shards: dict[str, list[Copy]] = {name: [] for name in checkpoint.shards}
    for name, tensor in checkpoint.tensors.items():
        block = checkpoint.family.block_of(name)
        if block is None:
            shards[tensor.path.name].append((tensor, name))
        elif block in new_index:
            shards[tensor.path.name].append((tensor, checkpoint.family.renumbered(name, new_index[block])))
    return {
        shard: [(patch.get(tensor.name, tensor), name) for tensor, name in sorted(copies, key=_place)]
        for shard, copies in shards.items()
        if copies
    }


def _place(copy: Copy) -> tuple[int, str]:
    return copy[0].start, copy[1]


def _write_shard(path: Path, copies: list[Copy]) -> None:
    with path.open("xb") as target:
        target.write(encode_header([(name, tensor.dtype, tensor.shape, tensor.num_bytes) for tensor, name in copies]))
        target.flush()
        for source_path, start, num_bytes in _runs(copies):
            with source_path.open("rb") as source:
                _copy_range(source, start, num_bytes, target)
        target.flush()
        os.fsync(target.fileno())


def _runs(copies: list[Copy]) -> list[tuple[Path, int, int]]:
    """Byte ranges (file, start, length) to copy, neighbours merged."""
    runs: list[tuple[Path, int, int]] = []
    for tensor, _ in copies:
        path, start, num_bytes = runs[-1] if runs else (None, 0, 0)
        if path == tensor.path and start + num_bytes == tensor.start:
            runs[-1] = (tensor.path, start, num_bytes + tensor.num_bytes)
        else:
            runs.append((tensor.path, tensor.start, tensor.num_bytes))
    return runs


def _copy_range(source: BinaryIO, start: int, num_bytes: int, target: BinaryIO) -> None:
    source.seek(start)
    while num_bytes:
        chunk = source.read(min(num_bytes, _BUFFER_BYTES))
        if not chunk:
            raise EOFError(f"{source.name} ended while it was copied")
        target.write(chunk)
        num_bytes -= len(chunk)


def _index(shards: dict[str, list[Copy]]) -> dict[str, Any]:
    weight_map = {name: shard for shard, copies in shards.items() for _, name in copies}
    total = sum(tensor.num_bytes for copies in shards.values() for tensor, _ in copies)
    return {"metadata": {"total_size": total}, "weight_map": weight_map}


def _pruned_config(checkpoint: Checkpoint, plan: PruningPlan) -> dict[str, Any]:
    """The config, with what follows the blocks where it speaks of them, and wherever else it says the same."""
    family, config, settings = checkpoint.family, checkpoint.config, checkpoint.settings
    changes = _changed_settings(checkpoint, plan)
    quantization = checkpoint.quantization
    others = {
        **pruned_states(family, config, plan.num_blocks, plan.kept),
        NOTE: {"kept_blocks": plan.kept, "source_num_blocks": plan.num_blocks, **of_stack(plan.stack)},
        **(pruned_quantization(family, config, quantization, plan.kept) if quantization else {}),
    }
    if settings is config:
        return {**config, **changes, **others}
    copied = {} if family.only_in_section else config
    copies = {field: value for field, value in changes.items() if copied.get(field) is not None}
    return {**config, **copies, str(family.section): {**settings, **changes}, **others}


def _changed_settings(checkpoint: Checkpoint, plan: PruningPlan) -> dict[str, Any]:
    """Every field that counts blocks, lists them or says from which one on they differ."""
    family, settings = checkpoint.family, checkpoint.settings
    depths = {**checkpoint.depths, family.stack: len(plan.kept)}
    counts: dict[str, int] = {}
    for each in (stack for stack in checkpoint.stacks if stack.section == family.section):
        counts |= pruned_counts(each, settings, depths[each.stack])
    extra = [field for field in family.extra_blocks_fields if field in settings] or family.extra_blocks_fields[:1]
    return {
        **counts,
        **dict.fromkeys(extra, 0),
        **pruned_settings(family, checkpoint.block_settings, plan.kept),
    }


def _pruned_generation(checkpoint: Checkpoint, plan: PruningPlan) -> dict[str, dict[str, Any]]:
    """The generation settings, where they say something of single blocks."""
    if not checkpoint.family.generation_pairs or GENERATION not in checkpoint.files:
        return {}
    settings = read_json(checkpoint.folder / GENERATION)
    return {GENERATION: {**settings, **pruned_pairs(checkpoint.family, settings, plan.kept)}}


def _note(plan: PruningPlan) -> dict[str, Any]:
    return {"method": plan.method, "removed": plan.removed, "kept_blocks": plan.kept, **of_stack(plan.stack)}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(written_in_order(value), indent=2) + "\n", encoding="utf-8")
