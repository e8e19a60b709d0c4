"""Tasks of lm-eval, its own and task files in its YAML -> questions, as lm-eval itself would ask them.

Only multiple choice that lm-eval scores in its standard way becomes questions; anything else is refused by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorp.digest import digest_bytes
from lorp.errors import CorpusError, LorpError, SpecError, first_line
from lorp.evaluation.downstream.questions import Metric, Question, Questions, merged, one_task
from lorp.evaluation.downstream.quiet import quiet_harness, seeded
from lorp.evaluation.downstream.task_yaml import TaskFile, sandboxed_templates
from lorp.spec import DownstreamSpec

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager

#: Fields of common data sets that hold what several questions are asked about.
_PASSAGE_FIELDS = ("passage", "article", "paragraph", "story", "support", "flores_passage")


def harness_version() -> str:
    """lm-eval's version, which says how its tasks ask their questions."""
    return metadata.version("lm_eval")


def named_questions(name: str, spec: DownstreamSpec) -> Questions:
    """Questions of a task, tag or group that lm-eval knows; its data comes from the hub or the hub's local cache.

    Raises:
        SpecError: lm-eval knows no such task, or it is not of a kind that is supported.
        CorpusError: Its data cannot be had, or cannot be used.
    """
    with _loading(name), seeded(spec.seed):
        manager = _manager()
        if name not in manager.task_index:
            raise SpecError(f"lm-eval knows no task {name!r}", "See `lm-eval ls tasks`, or give a .jsonl or .yaml file")
        for settings in _members(manager, name):
            _check_settings(settings)
        return merged(_questions(task, spec) for task in manager.load([name])["tasks"].values())


def task_file_questions(file: TaskFile, spec: DownstreamSpec, scratch: Path) -> Questions:
    """Questions of a checked task file; data sets that are read from local files are cached in `scratch` only.

    Raises:
        SpecError: The task is not of a kind that is supported.
        CorpusError: Its data cannot be had, or cannot be used.
    """
    with _loading(file.name), seeded(spec.seed), sandboxed_templates():
        from lm_eval.api.task import ConfigurableTask

        settings = dict(file.settings)
        if "dataset_kwargs" in settings:
            settings["dataset_kwargs"] = {**settings["dataset_kwargs"], "cache_dir": str(scratch)}
        return _questions(ConfigurableTask(config=settings), spec)


@cache
def _manager() -> "TaskManager":
    """The index of all of lm-eval's tasks, which takes seconds to read."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Silence, and one typed error for whatever a task's data and templates provoke in the libraries below."""
    try:
        with quiet_harness():
            yield
    except LorpError:
        raise
    except Exception as fault:  # data sets, templates and task code raise anything
        raise CorpusError(
            f"the questions of the task {name} cannot be made: {first_line(fault)}",
            "Go online once so that its data is kept here, or give a local .jsonl file",
        ) from fault


def _members(manager: "TaskManager", name: str) -> Iterator[Mapping[str, Any]]:
    """The settings of every task that a name stands for, read without importing any code."""
    from lm_eval.tasks._index import Kind
    from lm_eval.tasks._yaml_loader import load_yaml

    entry = manager.task_index[name]
    if entry.kind is Kind.TAG:
        for member in sorted(entry.tags):
            yield from _members(manager, member)
        return
    settings = load_yaml(entry.yaml_path, resolve_func=False)
    if entry.kind is not Kind.GROUP:
        yield settings
        return
    yield from _group_members(manager, name, settings.get("task") or [])


def _group_members(manager: "TaskManager", group: str, members: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for member in members:
        name = member if isinstance(member, str) else member.get("group", member.get("task"))
        if name not in manager.task_index:
            raise SpecError(f"the group {group} of lm-eval describes tasks of its own", "Name its tasks one by one")
        for settings in _members(manager, name):
            yield settings if isinstance(member, str) else {**settings, **member}


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Refuses, before its data is fetched, a task that runs code from elsewhere or is no multiple choice."""
    name = settings.get("task")
    kwargs = settings.get("dataset_kwargs") or {}
    metrics = [metric for metric in settings.get("metric_list") or [] if isinstance(metric, dict)]
    if (
        settings.get("unsafe_code")
        or kwargs.get("trust_remote_code")
        or any(metric.get("hf_evaluate") for metric in metrics)
    ):
        raise SpecError(f"the task {name} runs code from elsewhere", "Choose another task")
    if settings.get("output_type") != "multiple_choice" or "class" in settings:
        raise SpecError(f"the task {name} is no multiple choice", "Choose a task of output_type multiple_choice")
    if settings.get("process_results"):
        raise SpecError(f"the task {name} scores its answers in a way of its own", "Choose another task")


def _questions(task: "ConfigurableTask", spec: DownstreamSpec) -> Questions:
    """The first questions of a task, in lm-eval's order and with lm-eval's contexts."""
    if task.get_config("num_fewshot") != 0:  # lm-eval, too, leaves alone what a task fixes at none
        task.set_config("num_fewshot", spec.num_fewshot)
    task.set_fewshot_seed(spec.seed)
    metric = _metric(task)
    return one_task(
        [_question(task, metric, index, doc) for index, doc in task.doc_iterator(limit=spec.max_items)],
        source=f"lm-eval {harness_version()}",
        num_fewshot=task.get_config("num_fewshot"),
    )


def _metric(task: "ConfigurableTask") -> Metric:
    reported = task.aggregation()
    if not task.multiple_target and "acc_norm" in reported:
        return "acc_norm"
    if not task.multiple_target and "acc" in reported:
        return "acc"
    raise SpecError(f"the task {task.task_name} reports no accuracy of one right choice", "Choose another task")


def _question(task: "ConfigurableTask", metric: Metric, index: int, doc: Mapping[str, Any]) -> Question:
    choices = task.doc_to_choice(doc)
    context = task.fewshot_context(doc, num_fewshot=task.get_config("num_fewshot"), gen_prefix=task.doc_to_prefix(doc))
    instances = task.construct_requests(doc=doc, ctx=context, metadata=(task.task_name, index, 1))
    pairs = [instance.args for instance in instances[: len(choices)]]  # beyond are those of mutual information
    item = f"{task.task_name}-{index}"
    label = _label(task, doc, choices)
    if len(choices) < 2 or not all(choices) or label is None:
        raise CorpusError(f"{item} of lm-eval has no choices or no label", "Choose another task")
    return Question(
        task=task.task_name,
        item=item,
        cluster=_cluster(doc) or item,
        metric=metric,
        contexts=tuple(context for context, _ in pairs),
        continuations=tuple(continuation for _, continuation in pairs),
        lengths=tuple(map(len, choices)),
        label=label,
    )


def _label(task: "ConfigurableTask", doc: Mapping[str, Any], choices: Sequence[str]) -> int | None:
    label = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if isinstance(label, str):
        return choices.index(label) if label in choices else None
    return label if isinstance(label, int) and 0 <= label < len(choices) else None


def _cluster(doc: Mapping[str, Any]) -> str | None:
    """Digest of the passage that a question is asked about, if its data set has one."""
    passage = next((doc[field] for field in _PASSAGE_FIELDS if isinstance(doc.get(field), str)), None)
    return None if passage is None else digest_bytes(passage.encode())
