"""Accuracy on multiple-choice tasks: the same questions, contexts, log-likelihoods and figures as lm-eval's own."""

import json
import logging
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorp.errors import CorpusError, SpecError
from lorp.evaluation.downstream import harness
from lorp.evaluation.downstream.answer import answer_questions
from lorp.evaluation.downstream.local_file import read_rows, row_questions
from lorp.evaluation.downstream.questions import Question, Questions, merged
from lorp.evaluation.downstream.results import DownstreamEvaluation, ItemResult
from lorp.evaluation.downstream.sources import source_questions, task_source
from lorp.models import load_model, load_tokenizer
from lorp.spec import ComputeSpec, DownstreamSpec
from lorp.values import decode, encode

WORDS = ["sun", "rain", "wind", "snow", "hail", "fog"]
ROWS = [
    {
        "id": f"r{n}", "context": f"Day {n} was {WORDS[n % 6]}, day {n + 1} too.", "question": "And then?",
        "choices": [f"{WORDS[(n + 1) % 6]} and more {WORDS[n % 5]}", WORDS[(n + 2) % 6], f"no {WORDS[n % 4]}"],
        "label": n % 3, "options": [f"{n} was {WORDS[n % 6]}", f"{n} was {WORDS[n % 5]} or so"], "gold": n % 2,
        "tail": f"and then {n}.",
    }
    for n in range(12)
]  # fmt: skip
COMMON = """
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
fewshot_split: test
output_type: multiple_choice
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
CHOICES = 'task: choices\ndoc_to_text: "{{context}} {{question}}"\ndoc_to_choice: choices\ndoc_to_target: label\n'
CONTEXTS = 'task: contexts\ndoc_to_text: "{{gold}}"\ndoc_to_choice: options\ndoc_to_target: tail\n'


@pytest.fixture(scope="module")
def model(pico: Path) -> PreTrainedModel:
    return load_model(pico, ComputeSpec())


@pytest.fixture
def tokenizer(pico: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(pico)


@pytest.fixture
def task_yaml(tmp_path: Path) -> Path:
    """A folder with data and two task files; lm-eval, too, can read them as they stand."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for text in (CHOICES, CONTEXTS):
        (tmp_path / f"{text.split()[1]}.yaml").write_text(text + COMMON.format(data=data))
    return tmp_path


def questions_of(path: Path, spec: DownstreamSpec, scratch: Path) -> Questions:
    return source_questions(task_source(str(path)), spec, (), scratch)


def evaluation(items: tuple[ItemResult, ...]) -> DownstreamEvaluation:
    return DownstreamEvaluation(checkpoint="c", tasks_sha256="t", num_expected=len(items), items=items)


@pytest.mark.parametrize(("task", "num_fewshot"), [("choices", 0), ("choices", 2), ("contexts", 0), ("contexts", 3)])
def test_figures_are_those_of_lm_eval(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task_yaml: Path, task: str, num_fewshot: int
) -> None:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    spec = DownstreamSpec(limit=9, num_fewshot=num_fewshot, seed=7)
    made = questions_of(task_yaml / f"{task}.yaml", spec, task_yaml / "scratch")
    ours = evaluation(answer_questions(model, tokenizer, made.questions))
    theirs = lm_eval.simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, prefix_token_id=0),
        tasks=[task],
        task_manager=TaskManager(include_path=str(task_yaml), include_defaults=False),
        num_fewshot=num_fewshot,
        limit=9,
        fewshot_random_seed=7,
        bootstrap_iters=0,
    )
    figures = theirs["results"][task]
    assert (ours.accuracy(task), ours.accuracy_norm(task)) == (figures["acc,none"], figures["acc_norm,none"])
    for item, question, sample in zip(ours.items, made.questions, theirs["samples"][task], strict=True):
        arguments = [tuple(pair) for pair in sample["arguments"]]
        assert list(zip(question.contexts, question.continuations, strict=True)) == arguments
        assert (item.correct, item.correct_norm) == (sample["acc"] == 1, sample["acc_norm"] == 1)
        expected = [float(answer[0][0]) for answer in sample["resps"]]
        assert item.loglikelihoods == pytest.approx(expected, abs=1e-3)


def test_rows_and_the_same_task_in_yaml_are_answered_alike(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task_yaml: Path
) -> None:
    fields = ("id", "context", "question", "choices", "label")
    path = task_yaml / "plain.jsonl"
    path.write_text("".join(json.dumps({name: row[name] for name in fields}) + "\n" for row in ROWS))
    rows = row_questions("plain", read_rows(path), DownstreamSpec()).questions
    yaml = questions_of(task_yaml / "choices.yaml", DownstreamSpec(), task_yaml / "scratch").questions
    ours, theirs = (answer_questions(model, tokenizer, questions) for questions in (rows, yaml))
    assert [item.loglikelihoods for item in ours] == [item.loglikelihoods for item in theirs]
    assert len({item.score for item in ours}) == 2


def test_neighbours_do_not_change_an_answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task_yaml: Path
) -> None:
    questions = questions_of(task_yaml / "choices.yaml", DownstreamSpec(), task_yaml / "scratch").questions
    together = answer_questions(model, tokenizer, questions)
    alone = [answer_questions(model, tokenizer, [question])[0] for question in reversed(questions)]
    assert list(together) == alone[::-1]


def test_nothing_is_printed_and_progress_is_reported(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task_yaml: Path,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(task_yaml)
    with caplog.at_level(logging.INFO):
        spec = DownstreamSpec(num_fewshot=9)  # longer than the model's context, of which lm-eval warns
        made = questions_of(task_yaml / "choices.yaml", spec, task_yaml / "scratch")
        answer_questions(model, tokenizer, made.questions)
    assert capfd.readouterr() == ("", "")
    assert {record.name for record in caplog.records} == {"lorp.progress"}
    assert caplog.records[-1].getMessage() == "answer questions: 12 of 12"


def test_the_model_stays_as_it_was(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task_yaml: Path) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    questions = questions_of(task_yaml / "choices.yaml", DownstreamSpec(limit=1), task_yaml / "scratch").questions
    answer_questions(model, tokenizer, questions)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def question(**changes: Any) -> Question:
    values = {
        "task": "t", "item": "i", "cluster": "i", "metric": "acc_norm", "contexts": ("A", "A"),
        "continuations": (" b", " cd"), "lengths": (1, 2), "label": 0,
    }  # fmt: skip
    return Question(**{**values, **changes})


@pytest.mark.parametrize("continuation", ["", " " + "x" * 300], ids=["of no token", "longer than the model's context"])
def test_choices_that_cannot_be_scored_are_refused(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, continuation: str
) -> None:
    with pytest.raises(CorpusError, match=r"a choice of i of the task t has (0|301) tokens"):
        answer_questions(model, tokenizer, [question(continuations=(" b", continuation))])


def test_a_choice_without_context_follows_the_configs_first_token(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    import torch

    answer = answer_questions(model, tokenizer, [question(contexts=("", ""))])[0]
    tokens = tokenizer(" cd")["input_ids"]
    logits = model(input_ids=torch.tensor([[model.config.bos_token_id, *tokens]])).logits[0].log_softmax(-1)
    expected = sum(float(logits[place, token]) for place, token in enumerate(tokens))
    assert answer.loglikelihoods[1] == pytest.approx(expected, abs=1e-4)


def test_a_model_that_computes_no_number_has_no_answer(pico: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    spoilt = load_model(pico, ComputeSpec())
    spoilt.model.norm.weight.data.fill_(math.nan)
    items = answer_questions(spoilt, tokenizer, [question()])
    assert items[0].loglikelihoods == (None, None)
    assert not items[0].valid
    assert not items[0].correct
    assert math.isnan(items[0].score)
    assert math.isnan(evaluation(items).score("t"))
    assert decode(DownstreamEvaluation, encode(evaluation(items))) == evaluation(items)


def item(*loglikelihoods: float | None, **changes: Any) -> ItemResult:
    values = {"task": "t", "item": "i", "cluster": "i", "metric": "acc_norm", "label": 1, "lengths": (2, 8)}
    return ItemResult(loglikelihoods=loglikelihoods, **{**values, **changes})


def test_accuracy_may_divide_by_length() -> None:
    assert not item(-2.0, -4.0).correct
    assert item(-2.0, -4.0).correct_norm
    assert item(-2.0, -4.0).score == 1.0
    assert item(-2.0, -4.0, metric="acc").score == 0.0


def test_of_equals_the_first_is_chosen() -> None:
    assert not item(-1.0, -1.0).correct
    assert item(-1.0, -1.0, label=0).correct


def test_accuracy_is_the_share_of_right_answers_of_one_task() -> None:
    items = (item(-2.0, -1.0), item(-2.0, -4.0), item(-2.0, -9.0), item(None, -1.0, task="u"))
    result = evaluation(items)
    assert result.task_names == ("t", "u")
    assert result.accuracy("t") == pytest.approx(1 / 3)
    assert result.accuracy_norm("t") == result.score("t") == pytest.approx(2 / 3)
    assert math.isnan(result.score("u"))
    assert math.isnan(result.score("unknown"))


def test_a_question_is_no_example_of_its_own(task_yaml: Path) -> None:
    path = task_yaml / "choices.yaml"
    path.write_text(path.read_text().replace("fewshot_split: test\n", ""))
    made = questions_of(path, DownstreamSpec(num_fewshot=11), task_yaml / "scratch")
    for asked in made.questions:
        *examples, last = asked.contexts[0].split("\n\n")
        assert len(examples) == 11
        assert not any(example.startswith(last) for example in examples)


def test_questions_about_one_passage_are_one_cluster(task_yaml: Path) -> None:
    rows = [row | {"passage": f"About {number // 2}."} for number, row in enumerate(ROWS)]
    (task_yaml / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = questions_of(task_yaml / "choices.yaml", DownstreamSpec(), task_yaml / "scratch").questions
    assert [asked.cluster for asked in made[::2]] == [asked.cluster for asked in made[1::2]]
    assert len({asked.cluster for asked in made}) == 6


def test_no_one_elses_random_numbers_change(task_yaml: Path) -> None:
    random.seed(3)
    expected = random.Random(3).random()
    questions_of(task_yaml / "choices.yaml", DownstreamSpec(num_fewshot=2), task_yaml / "scratch")
    assert random.random() == expected


def test_two_tasks_of_one_name_are_refused(task_yaml: Path) -> None:
    made = questions_of(task_yaml / "choices.yaml", DownstreamSpec(limit=1), task_yaml / "scratch")
    with pytest.raises(SpecError, match="two tasks are called choices"):
        merged([made, made])


def test_a_file_that_changes_while_it_is_read_is_refused(task_yaml: Path) -> None:
    source = task_source(str(task_yaml / "choices.yaml"))
    (task_yaml / "rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    with pytest.raises(CorpusError, match="the task file of choices changed"):
        source_questions(source, DownstreamSpec(), (), task_yaml / "scratch")


def test_templates_reach_nothing_of_python(task_yaml: Path) -> None:
    text = CHOICES.replace("{{context}}", "{{context.__class__.__mro__}}") + COMMON.format(data="rows.jsonl")
    (task_yaml / "escape.yaml").write_text(text)
    with pytest.raises(CorpusError, match="the questions of the task choices cannot be made: access to attribute"):
        questions_of(task_yaml / "escape.yaml", DownstreamSpec(), task_yaml / "scratch")


@pytest.fixture
def known(task_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """lm-eval, knowing the task files of a folder instead of its own thousands."""
    from lm_eval.tasks import TaskManager

    tasks = {
        "generated": "task: generated\noutput_type: generate_until\n",
        "remote": "task: remote\noutput_type: multiple_choice\ndataset_kwargs: {trust_remote_code: true}\n",
        "unsafe": "task: unsafe\noutput_type: multiple_choice\nunsafe_code: true\n",
        "own": "task: own\noutput_type: multiple_choice\nprocess_results: !function missing.score\n",
        "f1": CHOICES.replace("task: choices", "task: f1") + COMMON.format(data=task_yaml / "rows.jsonl").replace(
            "metric: acc_norm", "metric: f1"
        ).replace("metric: acc,", "metric: mcc,"),
        "several": (CHOICES.replace("task: choices", "task: several") + COMMON.format(data=task_yaml / "rows.jsonl"))
        .replace("doc_to_target: label", "doc_to_target: [0, 1]"),
        "offline": "task: offline\noutput_type: multiple_choice\ndataset_path: nobody/nothing\ntest_split: test\n",
        "both": "group: both\ntask: [choices, contexts]\n",
        "mixed": "group: mixed\ntask: [choices, generated]\n",
    }  # fmt: skip
    for name, text in tasks.items():
        (task_yaml / f"{name}.yaml").write_text(text)
    monkeypatch.setattr(harness, "_manager", lambda: TaskManager(include_path=str(task_yaml), include_defaults=False))
    return task_yaml


def test_a_name_of_lm_evals_and_a_group_of_them_are_asked(known: Path) -> None:
    spec = DownstreamSpec(limit=4, num_fewshot=1)
    made = harness.named_questions("both", spec)
    assert [(task.name, task.num_items, task.num_fewshot) for task in made.tasks] == [
        ("choices", 4, 1),
        ("contexts", 4, 1),
    ]
    assert made.tasks[0].source.startswith("lm-eval 0.4.")
    assert made == merged(harness.named_questions(name, spec) for name in ("choices", "contexts"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unheard_of", "lm-eval knows no task 'unheard_of'"),
        ("generated", "the task generated is no multiple choice"),
        ("mixed", "the task generated is no multiple choice"),
        ("remote", "the task remote runs code from elsewhere"),
        ("unsafe", "the task unsafe runs code from elsewhere"),
        ("own", "the task own scores its answers in a way of its own"),
        ("f1", "the task f1 reports no accuracy"),
        ("several", "the task several reports no accuracy of one right choice"),
    ],
)
def test_other_tasks_of_lm_evals_are_refused_by_name(known: Path, name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        harness.named_questions(name, DownstreamSpec())


def test_data_that_cannot_be_had_is_one_line(known: Path) -> None:
    with pytest.raises(CorpusError, match="the questions of the task offline cannot be made") as caught:
        harness.named_questions("offline", DownstreamSpec())
    assert "\n" not in str(caught.value)
