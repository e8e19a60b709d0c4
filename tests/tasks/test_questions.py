"""The stages that ask and answer: questions are frozen, and dense model and variant answer the same ones."""

import json
from pathlib import Path

import pytest

from lorp.corpus import Window, Windows
from lorp.errors import SpecError
from lorp.evaluation.downstream.questions import Questions
from lorp.evaluation.downstream.results import DownstreamEvaluation
from lorp.models import load_tokenizer
from lorp.spec import ComputeSpec, DownstreamSpec
from lorp.values import decode, encode
from tasks.downstream import AnswerQuestions, questions_request
from tasks.stage import run_stage
from tasks.store import FolderStore
from tasks.vault import Reference, Vault


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(FolderStore(tmp_path / "store"))


@pytest.fixture
def checkpoint(vault: Vault, pico_copy: Path) -> Reference:
    names = [path.name for path in pico_copy.iterdir()]
    return vault.put_folder("checkpoints", pico_copy, names)


@pytest.fixture
def windows(vault: Vault, pico: Path) -> Reference:
    tokenizer = load_tokenizer(pico)
    texts = [" ".join(f"{letter}{number}" for number in range(24)) for letter in "abc"]
    cut = tuple(
        Window(id=f"{text[0]}@0", document=text[0], text_sha256="0" * 64, tokens=tuple(tokenizer(text)["input_ids"]))
        for text in texts
    )
    return vault.put("values", encode(Windows(corpus_sha256="0" * 64, windows=cut)), ".json")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "weather.jsonl"
    row = {"context": "It rains.", "question": "So?", "choices": ["wet", "dry"], "label": 0}
    path.write_text("".join(json.dumps(row | {"id": str(number)}) + "\n" for number in range(3)))
    return path


def test_questions_are_frozen_and_answered(vault: Vault, checkpoint: Reference, windows: Reference, rows: Path) -> None:
    spec = DownstreamSpec(tasks=("continuation", str(rows)), limit=4)
    asked = run_stage(vault, questions_request(checkpoint, windows, spec)).outputs["questions"]
    questions = decode(Questions, vault.read(asked))
    assert [(task.name, task.num_items) for task in questions.tasks] == [("continuation", 4), ("weather", 3)]
    rows.unlink()
    request = AnswerQuestions(checkpoint=checkpoint, questions=asked, compute_spec=ComputeSpec())
    answered = run_stage(vault, request).outputs["evaluation"]
    evaluation = decode(DownstreamEvaluation, vault.read(answered))
    assert (evaluation.checkpoint, evaluation.tasks_sha256) == (checkpoint.sha256, asked.sha256)
    assert len(evaluation.items) == evaluation.num_expected == 7
    assert evaluation.task_names == ("continuation", "weather")
    assert [item.item for item in evaluation.items] == [question.item for question in questions.questions]
    assert all(item.valid for item in evaluation.items)


def test_the_text_of_continuation_is_the_windows(vault: Vault, checkpoint: Reference, windows: Reference) -> None:
    request = questions_request(checkpoint, windows, DownstreamSpec())
    questions = decode(Questions, vault.read(run_stage(vault, request).outputs["questions"])).questions
    assert {question.cluster for question in questions} == set("abc")
    for question in questions:
        (letter,) = {word[0] for text in (question.contexts[0], *question.continuations) for word in text.split()}
        assert letter == question.cluster


def test_a_task_named_twice_is_refused_and_nothing_is_stored(
    vault: Vault, checkpoint: Reference, windows: Reference, rows: Path
) -> None:
    request = questions_request(checkpoint, windows, DownstreamSpec(tasks=(str(rows), str(rows))))
    with pytest.raises(SpecError, match="two tasks are called weather"):
        run_stage(vault, request)
    assert vault.result(request.key) is None
