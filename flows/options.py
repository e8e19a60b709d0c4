"""Options of the command line -> specs, with errors in one line."""

from collections.abc import Collection, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lorp.corpus.address import as_pairs
from lorp.errors import SpecError, first_line
from lorp.plain_yaml import PlainLoader, plain_yaml
from lorp.spec import (
    EMBEDDED_CORPUS,
    EMBEDDED_TASK,
    CalibrationSpec,
    CaptureMode,
    ComputeSpec,
    DType,
    EvaluationSpec,
    MixtureChoice,
)
from tasks.settings import settings

if TYPE_CHECKING:
    from lorp.promotion import PromotionPolicy

Model = TypeVar("Model", bound=BaseModel)

#: Of these, a value as YAML reads it is not what was typed: 010 would be 8, and 2024-13-45 a fault.
_KEPT_AS_TYPED = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:timestamp")


class _Loader(PlainLoader):
    """YAML with every option once: a second one would silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping, unless it has a key twice."""
        names = set()
        for key in (pair[0] for pair in node.value if isinstance(pair, tuple)):
            name = _parameter(key.value)
            if name in names:
                raise yaml.MarkedYAMLError(problem=f"{name} is given twice", problem_mark=key.start_mark)
            names.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag not in _KEPT_AS_TYPED]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def compute_of(device: str | None, dtype: DType | None, capture_mode: CaptureMode = "memory") -> ComputeSpec:
    """Where and in which precision forward passes run; the installation's settings stand behind what is not given."""
    asked = {"device": device or settings().device, "dtype": dtype or settings().dtype}
    return make(ComputeSpec, **asked, capture_mode=capture_mode)


def parse_remove(text: str) -> int | float | Literal["auto"]:
    """A count (`3`), a share of depth (`0.1`), or `auto`.

    Raises:
        SpecError: Neither.
    """
    if text == "auto":
        return "auto"
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise SpecError(
            f"--remove {text!r} is no number",
            "Give a number of blocks such as 3, a share of depth such as 0.1, or auto",
        ) from None


def parse_counts(text: str) -> tuple[int | float, ...]:
    """Counts or shares of depth with commas between them.

    Raises:
        SpecError: One is neither.
    """
    counts = tuple(parse_remove(part) for part in parse_names(text))
    given = tuple(count for count in counts if count != "auto")
    if len(given) < len(counts):
        raise SpecError("--remove auto is no count", "Give counts such as 1,3,5; lorp recompress finds the deepest")
    return given


def parse_version(text: str) -> int | Literal["candidate"]:
    """A version's number, or `candidate`.

    Raises:
        SpecError: Neither.
    """
    if text == "candidate":
        return "candidate"
    if not text.isdecimal():
        raise SpecError(f"--version {text!r} is no version", "Give a number such as 3, or candidate")
    return int(text)


def parse_corpora(addresses: Sequence[str]) -> tuple[str, ...]:
    """Addresses of text; `a+b` is two of them, unless a file or folder is called so."""
    return tuple(part for address in addresses for part in _joined(address))


class Texts(NamedTuple):
    """What a person names as text, and what is asked of it."""

    calibration: CalibrationSpec
    evaluation: EvaluationSpec
    tasks: str


def make_texts(
    calibration: Sequence[str],
    evaluation: Sequence[str],
    pairs: str | None,
    tasks: str,
    *,
    windows: tuple[int | None, int | None],
    mixture: MixtureChoice = "all",
    **asked: Any,
) -> Texts:
    """Text by itself or pairs, as specs; of pairs no tasks can be made, so that none are the default.

    Args:
        calibration: Addresses.
        evaluation: The same.
        pairs: The address of pairs, in place of both.
        tasks: As they were typed.
        windows: How many of each.
        mixture: How several calibration texts are taken.
        asked: What is asked of the windows of both.

    Raises:
        SpecError: A value is not allowed.
        CorpusError: Pairs are named that cannot be.
    """
    if pairs is not None:
        calibration = evaluation = parse_pairs(pairs, calibration, evaluation)
        tasks = "none" if tasks == EMBEDDED_TASK else tasks
    corpora, held_out = parse_corpora(calibration), parse_corpora(evaluation)
    return Texts(
        make(CalibrationSpec, corpora=corpora, mixture=mixture, num_windows=windows[0], **asked),
        make(EvaluationSpec, corpora=held_out, num_windows=windows[1], **asked),
        tasks,
    )


def parse_pairs(address: str, calibration: Sequence[str], evaluation: Sequence[str]) -> list[str]:
    """The address of pairs, which are split between calibration and evaluation.

    Raises:
        SpecError: Other text is named too.
    """
    if {*calibration, *evaluation} != {EMBEDDED_CORPUS}:
        raise SpecError("--pairs is both calibration and evaluation text, and other text is named", "Leave one out")
    return [as_pairs(each) for each in parse_corpora([address])]


def _joined(address: str) -> list[str]:
    parts = address.split("+")
    is_one = not all(parts) or any(
        "+" in path and Path(path).expanduser().exists()
        for path in (address, address.partition("#")[0], address.rpartition("#")[0])
    )
    return [address] if is_one else parts


def parse_names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(","))


def parse_tasks(text: str) -> tuple[str, ...]:
    """Tasks with commas between them; `none` for none."""
    names = parse_names(text)
    return () if names == ("none",) else names


def make(kind: type[Model], **values: Any) -> Model:
    """A spec from values; those that are None count as not given.

    Raises:
        SpecError: A value is not allowed; names it.
    """
    try:
        return kind(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{where} = {first['input']!r}" if where else "that together"
        raise SpecError(f"{what} is not allowed: {first['msg']}", "See --help") from None


def read_config(path: Path, known: dict[str, str], several: Collection[str] = ()) -> dict[str, Any]:
    """The options in a YAML file, by parameter; `max-perplexity-ratio` and `max_perplexity_ratio` are the same.

    Args:
        path: The file.
        known: Parameter by option.
        several: The options that may have a list of values.

    Raises:
        SpecError: No such file, not YAML, an option twice, or one that the command does not have.
    """
    options = {_parameter(name): value for name, value in _mapping(path).items()}
    for name, value in options.items():
        if name not in known:
            raise SpecError(f"{path} has the unknown option {name!r}", f"Known are: {', '.join(sorted(known))}")
        listed = name in several and isinstance(value, list)
        if value == [] or any(_is_no_word(single, listed) for single in (value if listed else [value])):
            raise SpecError(
                f"{name} in {path} is not a single value",
                "Write a line an option, such as 'remove: 3', and commas between names, such as 'tasks: copa,piqa'",
            )
    return {known[name]: _words(value, name in several) for name, value in options.items() if value is not None}


def read_policy(path: Path) -> "PromotionPolicy":
    """A promotion policy from a YAML file; `max-age-days` and `max_age_days` are the same.

    Raises:
        SpecError: No such file, not YAML, a condition twice, or one that is not known or not allowed.
    """
    from lorp.promotion import PromotionPolicy  # what it judges by takes a while to import

    try:
        return PromotionPolicy.model_validate(_with_underscores(_mapping(path)))
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise SpecError(
            f"{where} in {path} is not allowed: {first['msg']}", "See docs/production.md for what a policy may say"
        ) from None


def _with_underscores(value: Any) -> Any:
    if isinstance(value, dict):
        return {_parameter(name): _with_underscores(inner) for name, inner in value.items()}
    return list(map(_with_underscores, value)) if isinstance(value, list) else value


def _mapping(path: Path) -> dict[Hashable, Any]:
    try:
        values = plain_yaml(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError) as fault:
        raise SpecError(f"{path} is no readable YAML file: {first_line(fault)}", "Mend it") from None
    if not isinstance(values, dict):
        raise SpecError(f"{path} is not a mapping of options", "Write a line an option, such as 'remove: 3'")
    return values


def _parameter(name: Any) -> str:
    return str(name).replace("-", "_")


def _is_no_word(value: Any, listed: bool) -> bool:
    """Whether a value is more than one, or a gap in a list; alone, nothing means that the option is not given."""
    return isinstance(value, (dict, list)) or (listed and value is None)


def _words(value: Any, several: bool) -> Any:
    """A value, or several, as they would be typed."""
    if several:
        return [str(single) for single in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) else str(value)
