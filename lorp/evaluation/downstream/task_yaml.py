"""A task file of a person's own in lm-eval's YAML -> a task's settings that can run no code.

lm-eval itself would run code that a YAML file names: by `!function`, by `class`, by templates outside a sandbox, by
metrics and data sets that are programs. So lm-eval never sees the file: it is read here as plain data, and only the
settings listed here are handed on. `include` is followed, within the folder of the including file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorp.digest import digest_file, digest_value
from lorp.errors import SpecError, first_line
from lorp.plain_yaml import plain_yaml

MAX_FILE_BYTES = 1 << 20

#: Readers of `datasets` that take data files and never run or unpickle anything in them.
_READERS = ("json", "csv", "parquet", "text")
_REMEDY = "See docs/tasks.md for what a task file may hold"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MetricSettings(_Strict):
    """A metric that lm-eval reports; those that stand for no accuracy are not allowed."""

    metric: Literal["acc", "acc_norm"]
    aggregation: Literal["mean"] = "mean"
    higher_is_better: Literal[True] = True


class DataSettings(_Strict):
    """The files of each split, relative to the task file."""

    data_files: Annotated[dict[str, str | list[str]], Field(min_length=1)]


class TaskSettings(_Strict):
    """What a task file may set, in lm-eval's terms; what stands last is allowed, and not used."""

    task: Annotated[str, Field(pattern=r"^[\w .:-]{1,100}$")]
    output_type: Literal["multiple_choice"]
    dataset_path: str
    dataset_name: str | None = None
    dataset_kwargs: DataSettings | None = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    doc_to_text: str
    doc_to_target: str | int
    doc_to_choice: str | list[str]
    description: str = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    gen_prefix: str | None = None
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    metric_list: list[MetricSettings] | None = None

    task_alias: Annotated[Any, Field(exclude=True)] = None
    tag: Annotated[Any, Field(exclude=True)] = None
    should_decontaminate: Annotated[Any, Field(exclude=True)] = None
    doc_to_decontamination_query: Annotated[Any, Field(exclude=True)] = None
    metadata: Annotated[Any, Field(exclude=True)] = None


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """A checked task file.

    Attributes:
        name: The task's name.
        settings: What lm-eval is given, data files as absolute paths.
        sha256: Digest of the settings with the data files' digests in place of their paths.
    """

    name: str
    settings: Mapping[str, Any]
    sha256: str


def read_task_yaml(path: Path) -> TaskFile:
    """A task file with what it includes.

    Raises:
        SpecError: It is missing, no plain YAML, or asks for something that could run code or is not understood.
    """
    checked = _checked(_merged(path.absolute(), ()), path.name)
    files = _data_files(checked, path.absolute().parent)
    settings = _with_splits(checked.model_dump(exclude_none=True), path.name)
    digests = {split: [digest_file(file) for file in of] for split, of in files.items()}
    identity = digest_value({**settings, "dataset_kwargs": digests})
    if files:
        paths = {split: [str(file) for file in of] for split, of in files.items()}
        settings["dataset_kwargs"] = {"data_files": paths}
    return TaskFile(name=checked.task, settings=settings, sha256=identity)


@contextmanager
def sandboxed_templates() -> Iterator[None]:
    """Renders lm-eval's templates in Jinja's sandbox, where they reach none of Python's insides."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from lm_eval import utils

    before = utils.env
    utils.env = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    utils.env.filters["regex_replace"] = before.filters["regex_replace"]
    try:
        yield
    finally:
        utils.env = before


def _merged(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    """The settings of a file over those of the files it includes."""
    if path in including:
        raise SpecError(f"the task file {path.name} includes itself", _REMEDY)
    settings = _load(path)
    names = settings.pop("include", [])
    merged: dict[str, Any] = {}
    for name in names if isinstance(names, list) else [names]:
        included = _resolved(path.parent / str(name))
        if not included.is_relative_to(path.parent.resolve()):
            raise SpecError(f"the task file {path.name} includes {name}, which is outside its folder", _REMEDY)
        merged.update(_merged(included, (*including, path)))
    return {**merged, **settings}


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SpecError(f"there is no task file {path}", "Give a .jsonl or .yaml file, or the name of a task")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise SpecError(f"the task file {path.name} is larger than 1 MiB", _REMEDY)
    try:
        settings = plain_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise SpecError(f"the task file {path.name} is no plain YAML: {first_line(fault)}", _REMEDY) from None
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise SpecError(f"the task file {path.name} holds no settings", _REMEDY)
    return settings


def _checked(settings: Mapping[str, Any], name: str) -> TaskSettings:
    try:
        return TaskSettings.model_validate(settings)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SpecError(f"the task file {name} cannot be used: {where}: {first['msg']}", _REMEDY) from None


def _data_files(settings: TaskSettings, folder: Path) -> dict[str, list[Path]]:
    """The local data files of each split; none where the data set is one of the hub."""
    reader, kwargs = settings.dataset_path, settings.dataset_kwargs
    if reader in _READERS and kwargs is not None:
        return {
            split: [_data_file(folder, name) for name in ([of] if isinstance(of, str) else of)]
            for split, of in kwargs.data_files.items()
        }
    if kwargs is None and _is_hub_name(reader):
        return {}
    raise SpecError(
        f"the data set {reader!r} is neither one of the hub nor data_files with a reader of {', '.join(_READERS)}",
        _REMEDY,
    )


def _data_file(folder: Path, name: str) -> Path:
    path = _resolved(folder / name)
    if not path.is_file():
        raise SpecError(f"there is no data file {path}", "Name it relative to the task file")
    return path


def _resolved(path: Path) -> Path:
    """Where a path that a file names leads.

    Raises:
        SpecError: It can be no path.
    """
    try:
        resolved = path.resolve()
        resolved.is_file()
    except (OSError, ValueError, RuntimeError) as fault:  # too long, with a null byte, or links in a circle
        raise SpecError(f"{str(path)[:200]} can be no file: {first_line(fault)}", _REMEDY) from None
    return resolved


def _is_hub_name(name: str) -> bool:
    """Whether it is `owner/name`, and no folder here, in which datasets would look for something to read."""
    parts = name.split("/")
    return len(parts) == 2 and all(part.strip(".") for part in parts) and not _resolved(Path(name)).exists()


def _with_splits(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings with both splits named: lm-eval leaves a question out of its own examples only where they are."""
    questions = settings.get("test_split", settings.get("validation_split"))
    if questions is None:
        raise SpecError(f"the task file {name} names neither test_split nor validation_split", _REMEDY)
    given = (settings.get(split) for split in ("fewshot_split", "training_split", "validation_split"))
    examples = next((split for split in given if split), questions)
    return {**settings, "test_split": questions, "fewshot_split": examples}
