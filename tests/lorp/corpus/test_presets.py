"""Presets: the paper's windows of the corpora that the field knows, at revisions that do not move."""

import re
from typing import Any

import pytest
from pydantic import BaseModel

from lorp.corpus.address import parse_hub
from lorp.corpus.presets import PRESETS
from lorp.spec import CalibrationSpec, EvaluationSpec, RecompressSpec

SPECS: list[type[BaseModel]] = [CalibrationSpec, EvaluationSpec]


def spec(kind: type[BaseModel], *corpora: str, **asked: object) -> Any:
    return kind.model_validate({"corpora": corpora, **asked})


@pytest.mark.parametrize("name", PRESETS)
def test_calibration_follows_the_papers_protocol(name: str) -> None:
    made = spec(CalibrationSpec, name)
    assert (made.num_windows, made.window_tokens, made.seed, made.packing) == (128, 2048, 0, "long")
    assert [parse_hub(address).split for address in made.corpora] == ["train"]


@pytest.mark.parametrize("name", PRESETS)
def test_evaluation_takes_what_calibration_does_not(name: str) -> None:
    made = spec(EvaluationSpec, name)
    assert made.window_tokens == 2048
    assert made.num_windows >= 30
    assert not {parse_hub(address).split for address in made.corpora} & {"train"}


@pytest.mark.parametrize(
    ("name", "dataset", "config", "column", "joined"),
    [
        ("c4", "allenai/c4", "en", "text", False),
        ("wikitext2", "Salesforce/wikitext", "wikitext-2-raw-v1", "text", True),
        ("ptb", "ptb-text-only/ptb_text_only", None, "sentence", True),
    ],
)
def test_presets_name_the_known_datasets_at_a_fixed_revision(
    name: str, dataset: str, config: str | None, column: str, joined: bool
) -> None:
    for kind in SPECS:
        for corpus in map(parse_hub, spec(kind, name).corpora):
            assert (corpus.dataset, corpus.config) == (dataset, config)
            assert (corpus.rows.column, corpus.rows.joined) == (column, joined)
            assert re.fullmatch(r"[0-9a-f]{40}|refs/convert/parquet", corpus.revision)


@pytest.mark.parametrize("kind", SPECS)
def test_what_a_person_asks_for_wins(kind: type[BaseModel]) -> None:
    made = spec(kind, "c4", num_windows=40, window_tokens=512, seed=3, packing="packed")
    assert (made.num_windows, made.window_tokens, made.seed, made.packing) == (40, 512, 3, "packed")


def test_a_preset_stands_beside_other_corpora() -> None:
    made = spec(CalibrationSpec, "mine.txt", "c4")
    assert made.corpora == ("mine.txt", *spec(CalibrationSpec, "c4").corpora)
    assert made.num_windows == 128


def test_a_spec_made_from_a_preset_comes_back_from_its_json() -> None:
    given = {"source": "model", "pruning": {"remove": 3}, "calibration": {"corpora": ["ptb"]}}
    made = RecompressSpec.model_validate(given)
    assert RecompressSpec.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize("kind", SPECS)
def test_other_names_are_no_presets(kind: type[BaseModel]) -> None:
    assert spec(kind, "./c4").corpora == ("./c4",)
    assert spec(kind, "./c4").num_windows == kind().num_windows  # type: ignore[attr-defined]
