"""Windows by their use, cut from text that has many of them, and from text that has few."""

from pathlib import Path

import pytest
from texts import words

from lorp.corpus.uses import HealingWindows
from lorp.spec import CalibrationSpec, EvaluationSpec, HealingSpec, PruningSpec, RecompressSpec, SearchSpec
from lorp.values import decode
from tasks.stage import run_stage
from tasks.store import FolderStore
from tasks.vault import Reference, Vault
from tasks.windows import window_requests

CAPTURED, SEARCH, HEALING = 4, SearchSpec(num_mend_windows=2, num_score_windows=2, num_confirm_windows=2), 5


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(FolderStore(tmp_path / "store"))


@pytest.fixture
def checkpoint(vault: Vault, pico: Path) -> Reference:
    return vault.put_folder("checkpoints", pico, sorted(path.name for path in pico.iterdir()))


def healing(vault: Vault, checkpoint: Reference, text: Path, method: str) -> HealingWindows:
    spec = RecompressSpec(
        source="x",
        calibration=CalibrationSpec(corpora=(str(text),), num_windows=CAPTURED, window_tokens=16),
        evaluation=EvaluationSpec(num_windows=1, window_tokens=16),
        pruning=PruningSpec(remove=1, method=(method,)),
        search=SEARCH,
        healing=HealingSpec(method="linear", num_windows=HEALING - 2, num_ridge_windows=2),
    )
    request = window_requests(vault, checkpoint, spec, {}, (1,))["healing"]
    return decode(HealingWindows, vault.read(run_stage(vault, request).outputs["windows"]))


def rows(path: Path, number: int) -> Path:
    """So many documents of one window each."""
    path.write_text("".join(f'{{"text": "{words(4, row)}"}}\n' for row in range(number)))
    return path


def test_selectors_that_search_and_those_that_do_not_heal_on_the_same_windows(
    vault: Vault, checkpoint: Reference, tmp_path: Path
) -> None:
    text = rows(tmp_path / "rows.jsonl", 30)
    assert healing(vault, checkpoint, text, "lorp") == healing(vault, checkpoint, text, "greedy")


def test_text_that_has_no_windows_to_spare_serves_a_selector_that_does_not_search(
    vault: Vault, checkpoint: Reference, tmp_path: Path
) -> None:
    dealt = healing(vault, checkpoint, rows(tmp_path / "rows.jsonl", 12), "lorp")
    assert (len(dealt.fit.windows), len(dealt.ridge.windows)) == (HEALING - 2, 2)
