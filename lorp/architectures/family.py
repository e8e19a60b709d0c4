"""What must be known of a family of models to cut blocks out of it: data, no behaviour of its own."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lorp.architectures.experts import Experts, Place
from lorp.errors import SourceError
from lorp.plan import Stack


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """A config field that, where set, stands in the way of renumbering blocks.

    Attributes:
        field: The field.
        reason: What a renumbered block would do, in the words of an error.
    """

    field: str
    reason: str


#: transformers reads it for any family: overrides by block index, which its models do not all follow.
SINGLE_BLOCKS = Obstacle(field="per_layer_config", reason="its config sets single blocks apart by their index")

#: transformers wants an entry a block in these, in whatever config they are.
GENERAL_LISTS = ("layer_types", "mlp_layer_types")


@dataclass(frozen=True, kw_only=True)
class Projections:
    """Where in a block its linear maps are, as paths of modules.

    Attributes:
        attention_reads: Maps that attention applies to one and the same input, those of them that a block has.
        attention_write: The map whose output is added to the block's input.
        mlp_reads: Maps that the MLP applies to one and the same input.
        mlp_write: The map whose output is added last.
        parallel: Whether the MLP reads the block's input, and not the sum with what attention wrote.
        transposed: Whether weights are inputs x outputs.
        norm_after: Whether what is written goes through a norm before, or after, it is added.
        norm_after_where: A config field and the value with which it says so too.
        scale_field: Config field that what is written is multiplied by before it is added.
        experts: The MLP of blocks that have experts.
    """

    attention_reads: tuple[str, ...]
    attention_write: str
    mlp_reads: tuple[str, ...]
    mlp_write: str
    experts: Experts | None = None
    parallel: bool = False
    transposed: bool = False
    norm_after: bool = False
    norm_after_where: tuple[str, bool] | None = None
    scale_field: str | None = None

    def writes_freely(self, config: Mapping[str, Any]) -> bool:
        """Whether the state changes as what is written does, but for a factor."""
        if self.norm_after_where is None:
            return not self.norm_after
        field, value = self.norm_after_where
        return not self.norm_after and config.get(field) is not value

    def scale(self, config: Mapping[str, Any]) -> float:
        """What is written is multiplied by this before it is added."""
        return 1.0 if self.scale_field is None else float(config.get(self.scale_field, 1.0))


#: Of blocks that are built as Llama's are.
LLAMA_PROJECTIONS = Projections(
    attention_reads=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_write="self_attn.o_proj",
    mlp_reads=("mlp.gate_proj", "mlp.up_proj"),
    mlp_write="mlp.down_proj",
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of models, and one stack of blocks in them.

    Attributes:
        name: As people call it.
        model_types: `model_type` values of its configs.
        architectures: Class names that its configs may list.
        stack: Which, of an encoder-decoder, or `vision` of a model that sees; None for the stack that continues a text.
        model_class: The class of transformers that chooses the model's own by its config.
        blocks_path: Path of the block list in the loaded model, `model.layers`; block `i`'s tensors are named
            `<blocks_path>.<i>.<rest>`. On disk the first part, which is the model without its head, may be absent.
        stored_names: Pairs of a tensor's name on disk and its other name in the model.
        shared_in_blocks: Patterns of names in a block, of tensors that all blocks use: they stay where they are,
            whichever block goes.
        stored_prefixes: Pairs of how names may begin on disk and how the same ones begin in the model. Several may fit
            a name; it is that of the tensor which the model has.
        section: Section of the config that speaks of the blocks, where the model has other parts too. A config without
            it speaks of them at its top.
        only_in_section: Whether the config's top never speaks of the blocks: what it says there is of other ones.
        section_types: Pairs of a section and the `model_type` values that it may have, one of which it must name.
        projections: Where a block's linear maps are.
        gives_tuples: Whether a block gives a tuple that begins with the state, and not the state itself.
        hands_on: How many values follow the state in that tuple, which each block takes from the one before it; the
            first makes them.
        count_field: Config field that counts the blocks.
        count_aliases: Other names of that field that transformers takes.
        count_fallback: The field that counts the blocks where `count_field` is not given.
        default_count: How many blocks transformers builds where the field is left out; None if it must be there.
        per_block_fields: Config fields that hold a list with one entry a block. Where a config lacks one that
            transformers derives, a pruned config spells out what the kept blocks had.
        threshold_fields: Config fields that hold the index of the first block of another kind: 0 if all are, N or
            more if none is.
        cadence_fields: Pairs of config fields: how many blocks it takes to come to the next of a kind (with 2 these
            are blocks 1, 3, 5), and a list of blocks that are not of that kind all the same. A pruned config has a
            cadence of 1, and lists all others.
        index_fields: Config fields that list the blocks of one kind by their indices.
        state_fields: Pairs of a field at the config's top that says which of this stack's states are used outside it,
            and what transformers takes where it is left out. A state is a number, or a list holds several: 0 is what
            enters the first block, k what leaves block k - 1, and negative ones count from the last.
        generation_pairs: Fields of the generation settings that hold pairs of a block and something in it.
        at_least_as_deep: Whether this stack must have at least as many blocks as the other, and what comes of fewer.
        extra_blocks_fields: Config fields that count blocks stored after the last, which the model does not load.
        obstacles: Settings with which blocks cannot be renumbered.
    """

    name: str
    model_types: frozenset[str]
    architectures: frozenset[str]
    stack: Stack | None = None
    model_class: str = "AutoModelForCausalLM"
    blocks_path: str
    stored_names: tuple[tuple[str, str], ...] = ()
    shared_in_blocks: tuple[str, ...] = ()
    stored_prefixes: tuple[tuple[str, str], ...] = ()
    section: str | None = None
    only_in_section: bool = False
    section_types: tuple[tuple[str, frozenset[str]], ...] = ()
    projections: Projections
    gives_tuples: bool = False
    hands_on: int = 0
    count_field: str
    count_aliases: tuple[str, ...] = ()
    count_fallback: str | None = None
    default_count: int | None = None
    per_block_fields: tuple[str, ...] = ()
    threshold_fields: tuple[str, ...] = ()
    cadence_fields: tuple[tuple[str, str], ...] = ()
    index_fields: tuple[str, ...] = ()
    state_fields: tuple[tuple[str, int], ...] = ()
    generation_pairs: tuple[str, ...] = ()
    at_least_as_deep: str | None = None
    extra_blocks_fields: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def count_fields(self) -> tuple[str, ...]:
        """Every config field that may count the blocks."""
        return (self.count_field, *self.count_aliases)

    @property
    def block_fields(self) -> tuple[str, ...]:
        """Every config field that says something of single blocks."""
        cadences = (name for pair in self.cadence_fields for name in pair)
        return (*self.per_block_fields, *self.threshold_fields, *cadences, *self.index_fields)

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether its models make a text from a source."""
        return self.stack in ("encoder", "decoder")

    def settings_in(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a config says of the blocks and all around them: a section of it, or itself; nothing if it may not.

        Raises:
            SourceError: The section is none.
        """
        found = config.get(self.section) if self.section else None
        if found is not None and not isinstance(found, dict):
            raise SourceError(f"{self.section} in config.json is no section", "Mend the config")
        if found is None:
            return {} if self.only_in_section else config
        return found

    def types_in(self, config: Mapping[str, Any]) -> dict[str, str | None]:
        """The `model_type` of each section of a config that has to name one; None where it does not."""
        return {section: _type_of(config.get(section)) for section, _ in self.section_types}

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether the sections of a config are of types that this family may have."""
        found = self.types_in(config)
        return all(found[section] in types for section, types in self.section_types)

    def obstacle_in(self, config: Mapping[str, Any]) -> Obstacle | None:
        """What stands in the way of pruning a checkpoint with this config, if anything does."""
        everywhere, obstacles = (config, self.settings_in(config)), (SINGLE_BLOCKS, *self.obstacles)
        return next((each for each in obstacles if any(settings.get(each.field) for settings in everywhere)), None)

    def block_of(self, tensor_name: str) -> int | None:
        """Index of the block that a tensor on disk belongs to; None for those of no block, or of all of them."""
        match = self._block_number(tensor_name)
        if not match or any(re.fullmatch(name, tensor_name[match.end() :]) for name in self.shared_in_blocks):
            return None
        return int(match[1])

    def renumbered(self, tensor_name: str, block: int) -> str:
        """The name of a block's tensor once that block stands at another index."""
        match = self._block_number(tensor_name)
        assert match
        return f"{tensor_name[: match.start(1)]}{block}{tensor_name[match.end(1) :]}"

    def module_path(self, stored_path: str) -> str:
        """A module's path in the model, by its path on disk, where the model's first part may be absent."""
        body, _, blocks = self.blocks_path.partition(".")
        in_block = stored_path.startswith(f"{blocks}.") and self.block_of(f"{stored_path}.") is not None
        return f"{body}.{stored_path}" if in_block else stored_path

    def place_in_block(self, tensor_name: str) -> Place:
        """Where a block's tensor on disk is, with a name in the block's module."""
        match = self._block_number(tensor_name)
        assert match
        inner, experts = tensor_name[match.end() :], self.projections.experts
        return (experts.place(inner) if experts else None) or Place(name=inner)

    def place_of(self, tensor_name: str, names: Container[str]) -> Place | None:
        """Where a tensor on disk is in the model, by the same rules as transformers.

        Args:
            tensor_name: Its name on disk.
            names: All names of the model's tensors.

        Returns:
            None where the model has no such tensor.
        """
        block = self.block_of(tensor_name)
        if block is None:
            name = self._name_in_model(tensor_name, names)
            return None if name is None else Place(name=name)
        place = self.place_in_block(tensor_name)
        name = f"{self.blocks_path}.{block}.{place.name}"
        return replace(place, name=name) if name in names else None

    def possible_names(self, tensor_name: str) -> tuple[str, ...]:
        """Names in the model that a tensor on disk which belongs to no block may have: the first that is there."""
        renamed, body = dict(self.stored_names).get(tensor_name, tensor_name), self.blocks_path.partition(".")[0]
        prefixed = [
            f"{inside}{renamed.removeprefix(stored)}"
            for stored, inside in self.stored_prefixes
            if renamed.startswith(stored)
        ]
        return (renamed.removeprefix(f"{body}."), f"{body}.{renamed}", *prefixed, tensor_name)

    def _name_in_model(self, tensor_name: str, names: Container[str]) -> str | None:
        return next((name for name in self.possible_names(tensor_name) if name in names), None)

    def _block_number(self, tensor_name: str) -> re.Match[str] | None:
        paths = "|".join(map(re.escape, self._stored_paths))
        return re.match(rf"(?:{paths})\.(\d+)\.", tensor_name)

    @property
    def _stored_paths(self) -> tuple[str, ...]:
        """Paths of the block list on disk."""
        path = self.blocks_path
        prefixed = (
            f"{stored}{path.removeprefix(inside)}" for stored, inside in self.stored_prefixes if path.startswith(inside)
        )
        return (path, path.partition(".")[2], *prefixed)


def _type_of(section: Any) -> str | None:
    found = section.get("model_type") if isinstance(section, dict) else None
    return found if isinstance(found, str) else None
