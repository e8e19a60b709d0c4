"""A registered version, beside the one that an alias stands for -> all that a promotion is decided on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from lorp.checkpoint import VOCABULARY
from lorp.evaluation.perplexity import PerplexityEvaluation
from lorp.gate import Evidence, Measured
from lorp.gate.evidence import Estimated, perplexity_ratio
from lorp.models import device_kind, load_tokenizer
from lorp.promotion import Canary, CanaryAnswer, Known, PromotionPolicy
from lorp.promotion.canaries import answer
from lorp.spec import ComputeSpec
from lorp.values import decode, encode
from tasks.evaluate import Evaluate
from tasks.ledger_versions import LedgerVersion, fault_of
from tasks.models import shared_model
from tasks.stage import Outputs, Request, run_stage
from tasks.vault import Reference, Vault

_SECONDS_A_DAY = 24 * 60 * 60


@dataclass(frozen=True, kw_only=True)
class Answers:
    """To canaries, in their order."""

    answers: tuple[CanaryAnswer, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerCanaries(Request):
    """A variant's answers to canaries."""

    STAGE: ClassVar[str] = "canaries"
    VERSION: ClassVar[int] = 1
    variant: Reference
    canaries: tuple[Canary, ...]
    max_new_tokens: int
    compute_spec: ComputeSpec

    def inputs(self) -> Mapping[str, Any]:
        """Digest of the variant, what is asked, dtype and kind of device."""
        return {
            "variant": self.variant.sha256,
            "canaries": [canary.model_dump(mode="json") for canary in self.canaries],
            "max_new_tokens": self.max_new_tokens,
            "dtype": self.compute_spec.dtype,
            "device": device_kind(self.compute_spec.device),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Lets the model write."""
        folder = vault.folder(self.variant)
        tokenizer = load_tokenizer(folder)
        with shared_model(folder, self.compute_spec) as model:
            answers = answer(
                model,
                self.canaries,
                lambda text: list(tokenizer(text)["input_ids"]),
                lambda tokens: str(tokenizer.decode(list(tokens), skip_special_tokens=True)),
                self.max_new_tokens,
            )
        return {"answers": vault.put("values", encode(Answers(answers=answers)), ".json")}


def learn(vault: Vault, policy: PromotionPolicy, version: LedgerVersion, production: LedgerVersion | None) -> Known:
    """Verifies, measures and asks whatever the policy wants to know; what was measured before is reused.

    Args:
        vault: Where everything is.
        policy: The conditions.
        version: What is to be promoted.
        production: What the alias stands for now, if anything.
    """
    fault = fault_of(vault, version)
    beside = production is not None and policy.max_ratio_to_production is not None and fault is None
    return Known(
        verdict=version.verdict,
        gate=version.spec.gate,
        fault=fault,
        age_days=_age_days(version),
        ratio_to_production=_ratio(vault, policy, version, production) if beside and production else None,
        answers=_answers(vault, policy, version) if fault is None else (),
    )


def _age_days(version: LedgerVersion) -> float:
    """Days from the first evaluation; to it, where a clock was wrong and it lies in the future."""
    made = min(datetime.fromisoformat(manifest.created) for manifest in version.evaluated)
    return abs((datetime.now(UTC) - made).total_seconds()) / _SECONDS_A_DAY


def _ratio(vault: Vault, policy: PromotionPolicy, version: LedgerVersion, production: LedgerVersion) -> Estimated:
    if _tokenizer(version) != _tokenizer(production):
        return "it and the version in production have different tokenizers, so their perplexities cannot be compared"
    judged = _evaluation(vault, version.evaluated[1].outputs["evaluation"])
    windows = version.run.output(judged.windows_sha256)

    def measured(label: str, variant: Reference) -> Measured:
        """As it was, unless on a machine of another kind."""
        request = Evaluate(
            label=label,
            checkpoint=variant,
            windows=windows,
            num_windows=judged.num_expected,
            compute_spec=version.compute_spec,
        )
        return Measured(perplexity=_evaluation(vault, run_stage(vault, request).outputs["evaluation"]))

    both = Evidence(dense=measured("production", production.variant), pruned=measured("version", version.variant))
    return perplexity_ratio(both, policy.confidence)


def _tokenizer(version: LedgerVersion) -> dict[str, str]:
    """sha256 of what tells texts from tokens."""
    files = {file.name: file.sha256 for file in version.variant.files}
    return {name: sha256 for name, sha256 in files.items() if name in VOCABULARY}


def _evaluation(vault: Vault, reference: Reference) -> PerplexityEvaluation:
    return decode(PerplexityEvaluation, vault.read(reference))


def _answers(vault: Vault, policy: PromotionPolicy, version: LedgerVersion) -> tuple[CanaryAnswer, ...]:
    if not policy.canaries:
        return ()
    request = AnswerCanaries(
        variant=version.variant,
        canaries=policy.canaries,
        max_new_tokens=policy.max_new_tokens,
        compute_spec=version.compute_spec,
    )
    return decode(Answers, vault.read(run_stage(vault, request).outputs["answers"])).answers
