"""What a config says of its blocks: a family and a parsed `config.json` come in, the number of blocks goes out."""

from collections.abc import Mapping
from typing import Any

from lorp.architectures.family import Family
from lorp.errors import SourceError


def num_blocks_of(family: Family, config: Mapping[str, Any]) -> int:
    """N, once all that the config says of single blocks is found to agree with it.

    Raises:
        SourceError: Blocks cannot be renumbered with these settings; the number is missing or given twice; a list
            with an entry a block has another length.
    """
    if obstacle := family.obstacle_in(config):
        raise SourceError(f"{obstacle.reason} ({obstacle.field})", "Choose a checkpoint without it")
    num_blocks = _count(family, config)
    for field in family.per_block_fields:
        values = config.get(field)
        if values is not None and (not isinstance(values, list) or len(values) != num_blocks):
            raise SourceError(f"{field} in config.json does not have {num_blocks} entries", "Mend the config")
    for field in family.threshold_fields:
        if type(config.get(field, 0)) is not int:
            raise SourceError(f"{field} in config.json is no block's index", "Mend the config")
    return num_blocks


def _count(family: Family, config: Mapping[str, Any]) -> int:
    counts = [config[field] for field in family.count_fields if config.get(field) is not None]
    if not counts or any(type(count) is not int or count < 1 for count in counts):
        raise SourceError(f"config.json gives no {family.count_field}", "Fetch the checkpoint again")
    if len(set(counts)) > 1:
        names = " and ".join(family.count_fields)
        raise SourceError(f"{names} in config.json disagree about the number of blocks", "Mend the config")
    return int(counts[0])
