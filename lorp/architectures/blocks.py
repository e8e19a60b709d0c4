"""What a config says of its blocks, and what it has to say once some of them are gone."""

from collections.abc import Mapping, Sequence
from typing import Any

from lorp.architectures.family import GENERAL_LISTS, Family
from lorp.errors import SourceError, SpecError


def num_blocks_of(family: Family, config: Mapping[str, Any]) -> int:
    """N, once all that the config says of single blocks is found to agree with it.

    Raises:
        SourceError: Blocks cannot be renumbered with these settings; the number is missing or given twice; a list
            with an entry a block has another length; a field names no blocks, or states that no block leaves; the
            section that speaks of the blocks and the rest disagree.
    """
    if obstacle := family.obstacle_in(config):
        raise SourceError(f"{obstacle.reason} ({obstacle.field})", "Choose a checkpoint without it")
    settings, num_blocks = family.settings_in(config), count_of(family, config)
    _check_fields(family, settings, num_blocks)
    for field, default in family.state_fields:
        _check_states(field, config.get(field, default), num_blocks)
    if not family.only_in_section:
        _check_copies(family, config, settings)
    return num_blocks


def count_of(family: Family, config: Mapping[str, Any]) -> int:
    """N, as the config counts the blocks.

    Raises:
        SourceError: It is missing or given twice.
    """
    return _count(family, family.settings_in(config))


def num_used_of(family: Family, config: Mapping[str, Any], num_blocks: int) -> int:
    """How many blocks there are from whose last state what the model says follows.

    All, but where a vision stack's features are an earlier state.

    Args:
        family: The family.
        config: All that it says.
        num_blocks: N.

    Raises:
        SpecError: Features are of several states, so that nothing follows from one.
    """
    states = used_states_of(family, config, num_blocks)
    if len(states) > 1:
        fields = ", ".join(field for field, _ in family.state_fields)
        raise SpecError(
            f"its images' features are of {len(states)} states ({fields}), where plans can be neither tried nor "
            "compared as healed",
            "Give a count, --method lorp, shortgpt or streamline, and a --heal that is not auto",
        )
    return states[0]


def used_states_of(family: Family, config: Mapping[str, Any], num_blocks: int) -> tuple[int, ...]:
    """The states that are used outside the stack: 0 is what enters the first block, k what leaves block k - 1.

    Args:
        family: The family.
        config: All that it says.
        num_blocks: N.
    """
    said = [state for field, default in family.state_fields for state in _listed(config.get(field, default))]
    return tuple(state if state >= 0 else num_blocks + 1 + state for state in said) or (num_blocks,)


def lists_in(family: Family, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields among these that have an entry a block: the family's, and those that any config may have."""
    fields = dict.fromkeys((*family.per_block_fields, *GENERAL_LISTS))
    return tuple(field for field in fields if settings.get(field) is not None)


def num_extra_blocks_of(family: Family, config: Mapping[str, Any]) -> int:
    """How many blocks may be stored after the last that the model loads."""
    counts = [family.settings_in(config).get(field) for field in family.extra_blocks_fields]
    return max((count for count in counts if isinstance(count, int)), default=0)


def pruned_settings(family: Family, settings: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """What a config has to say of the kept blocks, which stay in order: those before a threshold are still the first.

    Args:
        family: The family.
        settings: Its fields about single blocks, as the dense model has them.
        kept: Indices in the dense model.
    """
    lists = {field: [settings[field][block] for block in kept] for field in lists_in(family, settings)}
    thresholds = {
        field: sum(block < settings[field] for block in kept) for field in family.threshold_fields if field in settings
    }
    indices = {
        field: [place for place, block in enumerate(kept) if block in settings[field]]
        for field in family.index_fields
        if field in settings
    }
    return {**lists, **thresholds, **_pruned_cadences(family, settings, kept), **indices}


def pruned_states(family: Family, config: Mapping[str, Any], num_blocks: int, kept: Sequence[int]) -> dict[str, Any]:
    """What a config's top has to say of the states that are used outside the stack, where that is another thing.

    What leaves a removed block is what leaves the last kept one before it. A state that is counted from the last is
    still counted so, and changes where blocks after it are gone. A 0 by itself is a no to transformers: what enters the
    first block is then counted from the last too.

    Args:
        family: The family.
        config: All of the dense model's.
        num_blocks: N of the dense model.
        kept: Indices in it.
    """
    pruned: dict[str, Any] = {}
    for field, default in family.state_fields:
        said = config.get(field, default)
        moved = [_moved(state, num_blocks, kept) for state in _listed(said)]
        new = moved if isinstance(said, list) else moved[0] or -(len(kept) + 1)
        if new != said:
            pruned[field] = new
    return pruned


def pruned_counts(family: Family, config: Mapping[str, Any], num_blocks: int) -> dict[str, int]:
    """The fields by which a config counts a stack's blocks, once these are so many."""
    given = [field for field in family.count_fields if config.get(field) is not None]
    return dict.fromkeys(given or [family.count_field], num_blocks)


def pruned_pairs(family: Family, settings: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """What generation settings have to say of the kept blocks: pairs of which the first is a block.

    Raises:
        SourceError: A field does not hold such pairs.
    """
    places = {block: place for place, block in enumerate(kept)}
    pruned: dict[str, Any] = {}
    for field in family.generation_pairs:
        pairs = settings.get(field)
        if pairs is None:
            continue
        if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise SourceError(f"{field} in the generation settings does not list pairs", "Mend generation_config.json")
        if any(type(block) is not int for block, _ in pairs):
            raise SourceError(f"{field} in the generation settings names no blocks", "Mend generation_config.json")
        pruned[field] = [[places[block], other] for block, other in pairs if block in places]
    return pruned


def _pruned_cadences(family: Family, settings: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    pruned: dict[str, Any] = {}
    for cadence, listed in family.cadence_fields:
        step, others = settings[cadence], settings[listed]
        places = [place for place, block in enumerate(kept) if block in others or (block + 1) % step]
        pruned |= {cadence: 1, listed: places}
    return pruned


def _moved(state: int, num_blocks: int, kept: Sequence[int]) -> int:
    """Where a state is once blocks are gone, counted from the side from which it was."""
    before = state if state >= 0 else num_blocks + 1 + state
    left = sum(block < before for block in kept)
    return left if state >= 0 else left - (len(kept) + 1)


def _listed(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [said]


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _check_states(field: str, said: object, num_blocks: int) -> None:
    states = _listed(said)
    if not states or not _are_numbers(states) or not all(-(num_blocks + 1) <= state <= num_blocks for state in states):
        raise SourceError(
            f"{field} in config.json names states that a stack of {num_blocks} blocks does not have", "Mend the config"
        )


def _check_fields(family: Family, settings: Mapping[str, Any], num_blocks: int) -> None:
    for field in lists_in(family, settings):
        if not isinstance(settings[field], list) or len(settings[field]) != num_blocks:
            raise SourceError(f"{field} in config.json does not have {num_blocks} entries", "Mend the config")
    for field in family.threshold_fields:
        if type(settings.get(field, 0)) is not int:
            raise SourceError(f"{field} in config.json is no block's index", "Mend the config")
    for cadence, listed in family.cadence_fields:
        _check_cadence(cadence, settings.get(cadence, 1), listed, settings.get(listed) or [], num_blocks)
    for field in family.index_fields:
        if not _are_numbers(settings.get(field, [])):
            raise SourceError(f"{field} in config.json does not list blocks", "Mend the config")


def _check_cadence(cadence: str, step: object, listed: str, others: object, num_blocks: int) -> None:
    if type(step) is not int or step < 1:
        raise SourceError(f"{cadence} in config.json is no number of blocks", "Mend the config")
    if not isinstance(others, list) or not all(type(block) is int and 0 <= block < num_blocks for block in others):
        raise SourceError(f"{listed} in config.json does not list blocks", "Mend the config")


def _check_copies(family: Family, config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Some configs say at their top once more what a section says."""
    for field in (*family.count_fields, *family.block_fields, *GENERAL_LISTS):
        said, copy = settings.get(field), config.get(field)
        if said is not None and copy is not None and said != copy:
            raise SourceError(f"config.json and its {family.section} disagree about {field}", "Mend the config")


def _count(family: Family, settings: Mapping[str, Any]) -> int:
    counts = [settings[field] for field in family.count_fields if settings.get(field) is not None]
    if not counts and family.count_fallback and settings.get(family.count_fallback) is not None:
        counts = [settings[family.count_fallback]]
    if not counts and family.default_count:
        return family.default_count
    if not counts or any(type(count) is not int or count < 1 for count in counts):
        raise SourceError(f"config.json gives no {family.count_field}", "Fetch the checkpoint again")
    if len(set(counts)) > 1:
        names = " and ".join(family.count_fields)
        raise SourceError(f"{names} in config.json disagree about the number of blocks", "Mend the config")
    return int(counts[0])
