"""The gate's stage judges evaluations of the variant it names, and of one dense model."""

from pathlib import Path

import pytest

from lorp.corpus import Window, Windows
from lorp.errors import IntegrityError
from lorp.evaluation.perplexity import PerplexityEvaluation, WindowLoss
from lorp.gate import Verdict
from lorp.spec import GateSpec
from lorp.values import decode, encode
from tasks.gate import Gate
from tasks.stage import run_stage
from tasks.store import FolderStore
from tasks.vault import Reference, Vault


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(FolderStore(tmp_path))


def windows(vault: Vault) -> Reference:
    cut = tuple(
        Window(id=f"{number % 5}@{number}", document=str(number % 5), text_sha256="t", tokens=tuple(range(10)))
        for number in range(40)
    )
    return vault.put("values", encode(Windows(corpus_sha256="c", windows=cut)), ".json")


def evaluation(vault: Vault, checkpoint: str) -> Reference:
    losses = tuple(
        WindowLoss(window=f"{number % 5}@{number}", document=str(number % 5), num_predicted=9, loss=3.0)
        for number in range(40)
    )
    value = PerplexityEvaluation(
        checkpoint=checkpoint, windows_sha256=windows(vault).sha256, num_expected=40, losses=losses
    )
    return vault.put("values", encode(value), ".json")


def gate(vault: Vault, pruned: str) -> Gate:
    evaluations = {"dense": evaluation(vault, "dense"), "pruned": evaluation(vault, pruned)}
    variant = Reference(key="variants/v", sha256="variant", bytes=1)
    return Gate(variant=variant, evaluations=evaluations, spec=GateSpec())


def test_a_verdict_names_what_was_judged(vault: Vault) -> None:
    done = run_stage(vault, gate(vault, "variant"))
    verdict = decode(Verdict, vault.read(done.outputs["verdict"]))
    assert (verdict.approved, verdict.variant) == (True, "variant")


def test_evaluations_of_another_variant_are_not_judged(vault: Vault) -> None:
    with pytest.raises(IntegrityError, match="this variant"):
        run_stage(vault, gate(vault, "another"))
