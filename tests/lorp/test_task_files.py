"""Task files of a person's own: rows of JSON, and lm-eval's YAML as far as it can run no code."""

import json
from pathlib import Path

import pytest

from lorp.errors import CorpusError, InputError, SpecError
from lorp.evaluation.downstream.local_file import read_rows, row_questions
from lorp.evaluation.downstream.sources import task_source
from lorp.evaluation.downstream.task_yaml import read_task_yaml
from lorp.spec import DownstreamSpec

ROW = {"id": "a", "context": "It rains.", "question": "So?", "choices": ["wet", "dry"], "label": 0}
PARTIAL = {
    "id": "p", "question": "The _ sings.", "choices": ["bird", "stone"], "label": 0,
    "context_options": ["The bird", "The stone"], "continuation": "sings.",
}  # fmt: skip
YAML = """
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{context}}"
doc_to_choice: choices
doc_to_target: label
"""


def write(folder: Path, *rows: object, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def task_yaml(folder: Path, text: str = YAML, name: str = "mine.yaml") -> Path:
    write(folder, ROW)
    (folder / name).write_text(text)
    return folder / name


def test_a_row_is_a_question(tmp_path: Path) -> None:
    made = row_questions("rows", read_rows(write(tmp_path, ROW)), DownstreamSpec())
    question = made.questions[0]
    assert question.contexts == ("It rains. So?",) * 2
    assert question.continuations == (" wet", " dry")
    assert (question.item, question.cluster, question.label, question.lengths) == ("a", "a", 0, (3, 3))
    assert question.metric == "acc_norm"
    assert (made.tasks[0].source, made.tasks[0].num_items) == ("file", 1)


def test_one_continuation_after_several_contexts_is_scored_by_plain_accuracy(tmp_path: Path) -> None:
    question = row_questions("rows", read_rows(write(tmp_path, PARTIAL)), DownstreamSpec()).questions[0]
    assert question.contexts == ("The bird", "The stone")
    assert question.continuations == (" sings.", " sings.")
    assert (question.metric, question.lengths) == ("acc", (8, 9))


def test_rows_of_one_cluster_say_so(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, ROW | {"cluster": "passage 1"}))
    assert row_questions("rows", rows, DownstreamSpec()).questions[0].cluster == "passage 1"


def test_few_shot_examples_are_other_rows_solved(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{n}", "context": f"c{n}", "question": f"q{n}?", "choices": [f"yes{n}", f"no{n}"], "label": n % 2}
        for n in range(6)
    ]
    path = write(tmp_path, *rows)
    spec = DownstreamSpec(num_fewshot=5)
    made = row_questions("rows", read_rows(path), spec)
    answers = ["yes0", "no1", "yes2", "no3", "yes4", "no5"]
    for n, question in enumerate(made.questions):
        *examples, last = question.contexts[0].split("\n\n")
        assert last == f"c{n} q{n}?"
        assert sorted(examples) == [f"c{m} q{m}? {answers[m]}" for m in range(6) if m != n]
    assert made.tasks[0].num_fewshot == 5
    one = [row_questions("rows", read_rows(path), DownstreamSpec(num_fewshot=1, seed=seed)) for seed in (0, 1)]
    assert one[0] != one[1]
    with pytest.raises(CorpusError, match="6 few-shot examples are asked for, and 5 other rows"):
        row_questions("rows", read_rows(path), DownstreamSpec(num_fewshot=6))


def test_a_row_that_asks_the_same_gives_no_example(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, ROW, ROW | {"id": "b"}))
    with pytest.raises(CorpusError, match="0 other rows"):
        row_questions("rows", rows, DownstreamSpec(num_fewshot=1))


def test_the_limit_takes_the_first_rows(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, *(ROW | {"id": str(number)} for number in range(9))))
    assert [question.item for question in row_questions("r", rows, DownstreamSpec(limit=3)).questions] == [*"012"]
    assert len(row_questions("r", rows, DownstreamSpec(limit=0)).questions) == 9


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (["{"], "line 1 of rows.jsonl is no question"),
        ([ROW, ROW | {"label": 2}], "line 2 of rows.jsonl is no question:  Value error, label names no choice"),
        ([ROW | {"label": -1}], "label"),
        ([ROW | {"label": "0"}], "label"),
        ([ROW | {"label": True}], "label"),
        ([ROW | {"choices": ["one"]}], "choices"),
        ([ROW | {"choices": ["one", " "]}], "choices.1"),
        ([ROW | {"contexts": ["one"]}], "contexts"),
        ([{**ROW, "id": ""}], "id"),
        ([PARTIAL | {"context_options": ["one", "two", "three"]}], "not as many as choices"),
        ([{**ROW, "continuation": "alone"}], "belong together"),
        (['{"id": "a", "choices": ["\\ud800", "b"], "label": 0}'], "line 1"),
        ([ROW, PARTIAL], "only some rows of rows.jsonl have context_options"),
    ],
)
def test_rows_that_are_no_questions_are_refused(tmp_path: Path, rows: list[object], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_rows(write(tmp_path, *rows))


def test_ids_are_unique(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="two questions of the task rows have one id"):
        row_questions("rows", read_rows(write(tmp_path, ROW, ROW)), DownstreamSpec())


def test_a_yaml_file_is_pinned_by_its_settings_and_data_wherever_it_lies(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    first, same, other = (read_task_yaml(task_yaml(folder)) for folder in folders)
    write(folders[2], ROW, ROW | {"id": "b"})
    other = read_task_yaml(folders[2] / "mine.yaml")
    assert first.name == "mine"
    assert first.sha256 == same.sha256 != other.sha256
    assert read_task_yaml(task_yaml(folders[0], YAML + "description: Answer!\n")).sha256 != first.sha256


def test_what_a_yaml_file_includes_is_overridden_by_itself(tmp_path: Path) -> None:
    task_yaml(tmp_path, YAML + "description: base\n", name="base.yaml")
    file = read_task_yaml(task_yaml(tmp_path, "include: base.yaml\ntask: derived\n"))
    assert (file.name, file.settings["description"]) == ("derived", "base")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (YAML + "process_docs: !function evil.run\n", "no plain YAML: line 10: could not determine a constructor"),
        (YAML + "process_docs: evil.run\n", "process_docs"),
        (YAML + "x: !!python/object/apply:os.system [true]\n", "no plain YAML"),
        (YAML + "class: evil\n", "class"),
        (YAML + "use_prompt: promptsource:x\n", "use_prompt"),
        (YAML + "unsafe_code: true\n", "unsafe_code"),
        (YAML + "metric_list: [{metric: evil, hf_evaluate: true}]\n", "metric_list.0"),
        (YAML + "metric_list: [{metric: acc, hf_evaluate: true}]\n", "metric_list.0.hf_evaluate"),
        (YAML.replace("multiple_choice", "generate_until"), "output_type"),
        (YAML.replace("data_files", "trust_remote_code: true, data_files"), "trust_remote_code"),
        (YAML.replace("rows.jsonl", "https://example.org/rows.jsonl"), "there is no data file"),
        (YAML.replace("path: json", "path: pandas"), "'pandas' is neither one of the hub"),
        (YAML.replace("test_split: test\n", ""), "neither test_split nor validation_split"),
        (YAML + "include: ../evil.yaml\n", "outside its folder"),
        (YAML + "include: mine.yaml\n", "includes itself"),
        (YAML + "include: function.yaml\n", "function.yaml is no plain YAML"),
        ("- 1\n", "holds no settings"),
    ],
)
def test_a_yaml_file_that_could_run_code_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    (tmp_path / "function.yaml").write_text("process_docs: !function evil.run\n")
    with pytest.raises(SpecError, match=message):
        read_task_yaml(task_yaml(tmp_path, text))
    assert not (tmp_path / "ran").exists()


def test_a_task_is_a_file_or_a_name(tmp_path: Path) -> None:
    assert task_source("continuation").kind == "continuation"
    assert task_source(str(write(tmp_path, ROW))).name == "rows"
    assert task_source(str(task_yaml(tmp_path))).name == "mine"
    assert task_source("arc_easy").kind == "lm-eval"


@pytest.mark.parametrize("task", ["no.jsonl", "no.yaml", "a/b", "tasks.json", "rows.csv"])
def test_a_task_that_is_no_file_is_refused(task: str) -> None:
    with pytest.raises(InputError, match=r"there is no task file|is no task file"):
        task_source(task)
