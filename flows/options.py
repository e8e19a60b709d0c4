"""Options of the command line -> specs, with errors in one line."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lorp.errors import SpecError

Model = TypeVar("Model", bound=BaseModel)


def parse_remove(text: str) -> int | float:
    """A count (`3`) or a share of depth (`0.1`).

    Raises:
        SpecError: Neither.
    """
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise SpecError(
            f"--remove {text!r} is no number", "Give a number of blocks such as 3, or a share of depth such as 0.1"
        ) from None


def parse_tasks(text: str) -> tuple[str, ...]:
    """Tasks with commas between them; `none` for none."""
    names = [name.strip() for name in text.split(",")]
    return () if names == ["none"] else tuple(names)


def make(kind: type[Model], **values: Any) -> Model:
    """A spec from values; those that are None count as not given.

    Raises:
        SpecError: A value is not allowed; names it.
    """
    try:
        return kind(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or kind.__name__
        raise SpecError(f"{where} = {first['input']!r} is not allowed: {first['msg']}", "See --help") from None


def read_config(path: Path, known: dict[str, str], several: Collection[str] = ()) -> dict[str, Any]:
    """The options in a YAML file, by parameter; `max-perplexity-ratio` and `max_perplexity_ratio` are the same.

    Args:
        path: The file.
        known: Parameter by option.
        several: The options that may have a list of values.

    Raises:
        SpecError: No such file, not YAML, or an option that the command does not have.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise SpecError(f"{path} is no readable YAML file: {str(fault).splitlines()[0]}", "Mend it") from None
    if not isinstance(values, dict):
        raise SpecError(f"{path} is not a mapping of options", "Write a line an option, such as 'remove: 3'")
    options = {str(name).replace("-", "_"): value for name, value in values.items()}
    for name, value in options.items():
        if name not in known:
            raise SpecError(f"{path} has the unknown option {name!r}", f"Known are: {', '.join(sorted(known))}")
        values = value if name in several and isinstance(value, list) else [value]
        if not values or any(isinstance(single, (dict, list)) for single in values):
            raise SpecError(f"{name} in {path} is not a single value", "Write a line an option, such as 'remove: 3'")
    return {known[name]: _words(value, name in several) for name, value in options.items() if value is not None}


def _words(value: Any, several: bool) -> Any:
    """A value, or several, as they would be typed."""
    if several:
        return [str(single) for single in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) else str(value)
